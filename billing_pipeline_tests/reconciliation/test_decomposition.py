"""Why a service is billed otherwise than expected: every step, alone, tied and together. March 2024 has 31 days."""

from decimal import Decimal

import pytest

from billing_pipeline.config import Proration, ReconciliationRules

from .month import Month, line, service

D = Decimal
MARCH = ("03-01", "03-31")


def explained(contract, *lines, prices=(), **rules):
    """(reason_code, reasons) of the one service."""
    outcome = Month([contract], list(lines), prices=list(prices), rules=ReconciliationRules(**rules)).outcome()
    item = outcome.item(f"service:{contract['service_id']}")
    return item["reason_code"], outcome.amounts(item["item_id"])


def note(code, contract, *lines, prices=(), **rules):
    outcome = Month([contract], list(lines), prices=list(prices), rules=ReconciliationRules(**rules)).outcome()
    return outcome.note(f"service:{contract['service_id']}", code)


def test_a_line_billed_twice_is_a_duplicate_whatever_its_wordings_case():
    lines = [line("1", "S", "25", days=MARCH), line("2", "S", "25", days=MARCH, description=" ACCÈS ")]
    assert explained(service("S", "25"), *lines) == ("DUPLICATE_LINE", {"DUPLICATE_LINE": D("25")})


def test_a_month_and_its_days_are_the_same_service_days():
    lines = [line("1", "S", "25", days=MARCH), line("2", "S", "25", charge_month="2024-03"), line("3", "S", "25")]
    assert explained(service("S", "25"), *lines) == ("DUPLICATE_LINE", {"DUPLICATE_LINE": D("50")})


def test_two_halves_of_a_month_or_two_wordings_are_no_duplicates():
    halves = [line("1", "S", "25", days=("03-01", "03-15")), line("2", "S", "25", days=("03-16", "03-31"))]
    assert explained(service("S", "25"), *halves) == ("UNEXPLAINED", {"UNEXPLAINED": D("25")})
    wordings = [line("1", "S", "25"), line("2", "S", "25", description="Option")]
    assert explained(service("S", "25"), *wordings) == ("UNEXPLAINED", {"UNEXPLAINED": D("25")})


def test_two_equal_credits_are_no_duplicates():
    lines = [line("1", "S", "45"), line("2", "S", "-5"), line("3", "S", "-5")]
    # 45 - 10 = 35, 10 too much; three lines, none of them twice.
    assert explained(service("S", "25"), *lines) == ("UNEXPLAINED", {"UNEXPLAINED": D("10")})


def test_a_credit_takes_back_one_of_the_duplicates():
    # Three equal lines, one credited: two remain, one of them a duplicate.
    lines = [line(n, "S", "25") for n in "123"] + [line("c", "S", "-25", description="Avoir")]
    assert explained(service("S", "25"), *lines) == ("DUPLICATE_LINE", {"DUPLICATE_LINE": D("25")})


def test_a_credit_goes_to_the_group_with_the_lowest_line_first():
    # Two pairs of 10.00; the credit wears down the pair of lines 1 and 3. Left: 10 (a) + 10 + duplicate 10 (b).
    lines = [line(n, "S", "10", description=w) for n, w in (("1", "a"), ("2", "b"), ("3", "a"), ("4", "b"))]
    lines.append(line("c", "S", "-10"))
    # B = 30, E = 20: the duplicate of pair b is all of it.
    assert explained(service("S", "20"), *lines) == ("DUPLICATE_LINE", {"DUPLICATE_LINE": D("10")})


def test_credits_beyond_the_duplicates_net_the_single_line():
    # 25 and -25 net; 28 is the one line left: its price is wrong.
    lines = [line("1", "S", "25"), line("c", "S", "-25", description="Avoir"), line("2", "S", "28", description="Neuf")]
    assert explained(service("S", "25"), *lines) == ("PRICE_MISMATCH", {"PRICE_MISMATCH": D("3")})


def test_a_credit_of_other_days_nets_nothing():
    lines = [line("1", "S", "25"), line("2", "S", "25"), line("c", "S", "-25", days=("03-01", "03-30"))]
    # B = 25 equals E: no discrepancy at all, and with another price the duplicate stands.
    assert explained(service("S", "20"), *lines)[1] == {"DUPLICATE_LINE": D("25"), "UNEXPLAINED": D("-20")}


def test_duplicates_are_told_first_and_the_rest_after_them():
    # 28 twice against 25: 28 a duplicate, then 3.00 of price on the one line besides.
    lines = [line("1", "S", "28"), line("2", "S", "28")]
    assert explained(service("S", "25"), *lines) == (
        "DUPLICATE_LINE",
        {"DUPLICATE_LINE": D("28"), "PRICE_MISMATCH": D("3")},
    )


def test_what_is_left_within_the_tolerance_is_rounding():
    lines = [line("1", "S", "25.02"), line("2", "S", "25.02")]
    # 50.04 - 25 = 25.04 = 25.02 + 0.02; two lines allow 0.02.
    assert explained(service("S", "25"), *lines)[1] == {"DUPLICATE_LINE": D("25.02"), "ROUNDING": D("0.02")}


def test_a_duplicated_quarter_is_a_duplicate_by_its_share():
    quarter = ("01-01", "03-31")
    lines = [line(n, "S", "100", days=quarter) for n in "12"]
    # 33.33, 33.34, 33.33: March's share of each is 33.33.
    assert explained(service("S", "33.33"), *lines) == ("DUPLICATE_LINE", {"DUPLICATE_LINE": D("33.33")})


def test_days_billed_after_the_last_are_told_apart_from_the_price():
    # 10 of 31 days: E = 31 x 10/31 = 10. Billed all March, 31: 31 - 31 x 10/31 = 21.
    contract = service("S", "31", until="2024-03-10")
    assert explained(contract, line("1", "S", "31", days=MARCH)) == (
        "BILLED_AFTER_TERMINATION", {"BILLED_AFTER_TERMINATION": D("21")},
    )  # fmt: skip
    # At 62 it is 62 - 62 x 10/31 = 42 for the days and 10 for the price.
    assert explained(contract, line("1", "S", "62", days=MARCH)) == (
        "BILLED_AFTER_TERMINATION", {"BILLED_AFTER_TERMINATION": D("42"), "PRICE_MISMATCH": D("10")},
    )  # fmt: skip


def test_days_billed_before_the_first_are_told():
    # From the 22nd, 10 of 31 days.
    contract = service("S", "31", since="2024-03-22")
    assert explained(contract, line("1", "S", "31", days=MARCH))[1] == {"BILLED_BEFORE_ACTIVATION": D("21")}


def test_after_the_end_comes_before_the_start():
    contract = service("S", "31", since="2024-03-11", until="2024-03-20")
    assert explained(contract, line("1", "S", "31", days=MARCH))[1] == {"BILLED_AFTER_TERMINATION": D("21")}


def test_a_month_dated_line_bills_the_active_days_unless_it_bills_the_full_month():
    contract = service("S", "31", until="2024-03-10")
    assert explained(contract, line("1", "S", "31"))[0] == "BILLED_AFTER_TERMINATION"
    assert explained(contract, line("1", "S", "31.01"))[1] == {"BILLED_AFTER_TERMINATION": D("21.01")}
    assert explained(contract, line("1", "S", "30"))[0] == "PRICE_MISMATCH"


def test_the_days_of_a_credit_are_not_billed():
    contract = service("S", "31", until="2024-03-10")
    lines = [line("1", "S", "20", days=("03-01", "03-10")), line("2", "S", "-3", days=MARCH)]
    assert explained(contract, *lines) == ("UNEXPLAINED", {"UNEXPLAINED": D("7")})


def test_billed_days_outside_the_month_do_not_count():
    contract = service("S", "31", since="2024-03-01")
    # Two months of 40.00: March's share is 40, and no day of March is outside the service.
    assert explained(contract, line("1", "S", "80", days=("02-01", "03-31")))[0] == "PRICE_MISMATCH"


def test_a_month_that_would_cost_nothing_leaves_all_of_it_outside():
    contract = service("S", "0", until="2024-03-10")
    assert explained(contract, line("1", "S", "7", days=MARCH))[1] == {"BILLED_AFTER_TERMINATION": D("7")}


@pytest.mark.parametrize(
    ("convention", "billed"),
    # From the 22nd, 10 days of March at 31.00: 10.00 by days, 10.33 by thirtieths, 31.00 in full.
    [(Proration.THIRTIETHS, "10.33"), (Proration.FULL_START_MONTH, "31")],
)
def test_another_convention_is_named(convention, billed):
    contract, one = service("S", "31", since="2024-03-22"), line("1", "S", billed, days=("03-22", "03-31"))
    assert explained(contract, one) == ("PRORATION", {"PRORATION": D(billed) - 10})
    assert note("PRORATION", contract, one) == convention


def test_a_full_last_month_is_the_full_month_convention():
    contract, one = service("S", "31", until="2024-03-10"), line("1", "S", "31", days=("03-01", "03-10"))
    assert note("PRORATION", contract, one) == "FULL_MONTH"


def test_a_convention_that_differs_by_no_more_than_the_tolerance_explains_nothing():
    # 30 of 31 days of 0.31: 0.30 by days, 0.31 by thirtieths (30/30). Billed 0.32: near 0.31, but 0.31 is near 0.30.
    contract = service("S", "0.31", since="2024-03-02")
    assert explained(contract, line("1", "S", "0.32", days=("03-02", "03-31")))[0] == "PRICE_MISMATCH"


def test_a_full_month_is_never_a_matter_of_proration():
    rules = {"proration": Proration.FULL_START_MONTH}
    # Ends on the 31st: 0 by contract, but active all March, so not partial.
    contract = service("S", "31", until="2024-03-31")
    found = explained(contract, line("1", "S", "31", days=MARCH), **rules)
    assert found == ("PRICE_MISMATCH", {"PRICE_MISMATCH": D("31")})


@pytest.mark.parametrize("billed", ["22", "22.01"])
def test_an_old_or_a_coming_price_is_stale(billed):
    contract = service("S", "20")
    prices = [("S", "2023-01-01", "22"), ("S", "2024-01-01", "25"), ("S", "2024-06-01", "30")]
    assert explained(contract, line("1", "S", billed), prices=prices) == (
        "STALE_PRICE",
        {"STALE_PRICE": D(billed) - 25},
    )
    assert explained(contract, line("1", "S", "30"), prices=prices)[0] == "STALE_PRICE"
    assert note("STALE_PRICE", contract, line("1", "S", "22"), prices=prices) == "22.00"


def test_the_inventorys_price_belongs_to_the_history():
    assert explained(service("S", "20"), line("1", "S", "20"), prices=[("S", "2024-01-01", "25")])[0] == "STALE_PRICE"


def test_the_price_of_another_service_is_nobodys_stale_price():
    assert (
        explained(service("S", "25"), line("1", "S", "22"), prices=[("T", "2024-01-01", "22")])[0] == "PRICE_MISMATCH"
    )


def test_a_stale_price_is_tried_with_the_discount():
    contract = service("S", "20", discount="10")
    # 22 less 10 % is 19.80; due is 25 less 10 %, 22.50.
    prices = [("S", "2023-01-01", "22"), ("S", "2024-01-01", "25")]
    assert explained(contract, line("1", "S", "19.80"), prices=prices) == ("STALE_PRICE", {"STALE_PRICE": D("-2.70")})


def test_a_forgotten_discount_is_told():
    # 25 less 12.5 % is 21.875, 21.88.
    contract = service("S", "25", discount="12.5")
    assert explained(contract, line("1", "S", "25")) == ("DISCOUNT_MISSING", {"DISCOUNT_MISSING": D("3.12")})
    assert explained(contract, line("1", "S", "24"))[0] == "PRICE_MISMATCH"


def test_two_lines_without_an_explanation_are_unexplained():
    lines = [line("1", "S", "20"), line("2", "S", "7", description="Option")]
    assert explained(service("S", "25"), *lines) == ("UNEXPLAINED", {"UNEXPLAINED": D("2")})


def test_equally_heavy_reasons_are_named_in_the_contracts_order():
    # 8 twice against 0: 8 a duplicate, 8 of price.
    assert explained(service("S", "0"), line("1", "S", "8"), line("2", "S", "8"))[0] == "DUPLICATE_LINE"


def test_the_heaviest_reason_counts_by_its_absolute_amount():
    # 5 twice against 25: +5 duplicate, -20 price.
    reason, parts = explained(service("S", "25"), line("1", "S", "5"), line("2", "S", "5"))
    assert (reason, parts) == ("PRICE_MISMATCH", {"DUPLICATE_LINE": D("5"), "PRICE_MISMATCH": D("-20")})


def test_more_decimals_than_cents_are_explained_to_the_last():
    assert explained(service("S", "25"), line("1", "S", "28.123456"))[1] == {"PRICE_MISMATCH": D("3.123456")}
