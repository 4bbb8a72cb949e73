"""Each step of the decomposition, with the arithmetic done by hand in the test. March 2024 has 31 days."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from billing_pipeline.config import Proration, ReconciliationRules
from billing_pipeline.periods import Period
from billing_pipeline_tests.reference.examples import line, service, verdicts
from billing_pipeline_tests.reference.records import Item, Line, Price, Service
from billing_pipeline_tests.reference.verdicts import reconcile

MONTH: dict[str, Any] = {"service_from": None, "service_to": None, "charge_month": "2024-03"}
THIRTIETHS = ReconciliationRules(proration=Proration.THIRTIETHS)


def reasons(one: Service, lines: list[Line], **more: Any) -> dict[str, Decimal]:
    item = verdicts([one], lines, **more)["service:SVC-1"]
    assert item.status == "DISCREPANCY"
    return {code: amount for code, (amount, _) in item.reasons.items()}


def the_item(one: Service, lines: list[Line], **more: Any) -> Item:
    return verdicts([one], lines, **more)["service:SVC-1"]


def credit(amount: str, number: int, **facts: Any) -> Line:
    return line(amount, number, document_type="credit_note", description="Avoir", **facts)


def test_a_line_billed_twice_is_a_duplicate_whatever_its_case() -> None:
    lines = [line("25.00", 1, description="Accès Été"), line("25.00", 2, description=" ACCÈS ÉTÉ ")]
    assert reasons(service(), lines) == {"DUPLICATE_LINE": Decimal("25.00")}


def test_two_different_options_at_one_price_are_no_duplicates() -> None:
    assert reasons(service(), [line("25.00", 1), line("25.00", 2, description="Option")]) == {
        "UNEXPLAINED": Decimal("25.00")
    }


def test_a_credit_clears_one_duplicate_of_three() -> None:
    lines = [line("25.00", 1), line("25.00", 2), line("25.00", 3), credit("-25.00", 4)]
    assert reasons(service(), lines) == {"DUPLICATE_LINE": Decimal("25.00")}


def test_a_credit_of_other_days_clears_nothing() -> None:
    lines = [line("25.00", n) for n in (1, 2, 3)] + [credit("-25.00", 4, service_to=dt.date(2024, 3, 25))]
    # Two duplicates take 50 of Δ = 50 - 25; the credit and the line left are two lines for the other -25.
    assert reasons(service(), lines) == {"DUPLICATE_LINE": Decimal("50.00"), "UNEXPLAINED": Decimal("-25.00")}


def test_a_credit_clears_the_first_group_that_still_has_a_duplicate() -> None:
    a: dict[str, Any] = {"description": "A"}
    b: dict[str, Any] = {"description": "B"}
    lines = [line("20.00", 1, **a), line("20.00", 2, **b), line("20.00", 3, **b), line("20.00", 4, **a)]
    assert reasons(service(1, "40.00"), [*lines, credit("-20.00", 5)]) == {"DUPLICATE_LINE": Decimal("20.00")}
    both = [*lines, credit("-20.00", 5), credit("-20.00", 6)]
    assert the_item(service(1, "40.00"), both).status == "MATCHED"


def test_a_netted_pair_does_not_make_one_wrong_price_unexplained() -> None:
    lines = [line("44.00", 1), line("11.11", 2, description="Option"), credit("-11.11", 3)]
    assert reasons(service(1, "40.00"), lines) == {"PRICE_MISMATCH": Decimal("4.00")}


def test_credits_are_never_duplicates() -> None:
    lines = [line("40.00", 1), credit("-1.39", 2), credit("-1.39", 3)]
    assert reasons(service(1, "40.00"), lines) == {"UNEXPLAINED": Decimal("-2.78")}


def test_a_duplicate_over_two_months_counts_by_its_share() -> None:
    span: dict[str, Any] = {"service_to": dt.date(2024, 4, 30)}
    # 80.01 over two whole months is 40.01 and 40.00; Δ = 80.02 - 40, the second 40.01 is the duplicate's.
    lines = [line("80.01", 1, **span), line("80.01", 2, **span)]
    assert reasons(service(1, "40.00"), lines) == {"DUPLICATE_LINE": Decimal("40.01"), "ROUNDING": Decimal("0.01")}


def test_a_full_month_for_a_service_that_ended_is_split_at_its_end() -> None:
    ended = service(1, "31.00", terminated_on=dt.date(2024, 3, 10))
    # E = 10 days of 1.00; B' - round(31 × 10 / 31) = 31 - 10.
    assert reasons(ended, [line("31.00")]) == {"BILLED_AFTER_TERMINATION": Decimal("21.00")}
    # 33 × 10 / 31 = 10.645…: 33 - 10.65 after the end, 0.65 too dear before it.
    assert reasons(ended, [line("33.00")]) == {
        "BILLED_AFTER_TERMINATION": Decimal("22.35"),
        "PRICE_MISMATCH": Decimal("0.65"),
    }


def test_a_full_month_for_a_service_that_began_late_is_split_at_its_beginning() -> None:
    late = service(1, "31.00", activated_on=dt.date(2024, 3, 22))
    assert reasons(late, [line("31.00")]) == {"BILLED_BEFORE_ACTIVATION": Decimal("21.00")}


def test_a_free_service_billed_after_its_end_owes_nothing_of_it() -> None:
    ended = service(1, "0", terminated_on=dt.date(2024, 3, 10))
    assert reasons(ended, [line("12.00")]) == {"BILLED_AFTER_TERMINATION": Decimal("12.00")}


def test_a_month_dated_line_bills_the_whole_month_only_at_the_full_price() -> None:
    ended = service(1, "31.00", terminated_on=dt.date(2024, 3, 10))
    assert reasons(ended, [line("31.00", **MONTH)]) == {"BILLED_AFTER_TERMINATION": Decimal("21.00")}
    assert reasons(ended, [line("30.98", **MONTH)]) == {"PRICE_MISMATCH": Decimal("20.98")}


def test_another_way_of_prorating_is_named() -> None:
    late = service(1, "25.00", activated_on=dt.date(2024, 3, 11))
    # Ours: 21 × 25 / 30 = 17.50; theirs: 21 × 25 / 31 = 16.935… → 16.94.
    item = the_item(late, [line("16.94", **MONTH)], rules=THIRTIETHS)
    assert item.reasons == {"PRORATION": (Decimal("-0.56"), "ACTUAL_DAYS")}


def test_a_wrong_price_in_a_full_month_is_no_proration() -> None:
    assert reasons(service(), [line("24.19")]) == {"PRICE_MISMATCH": Decimal("-0.81")}


def test_an_old_price_is_recognised_and_a_future_one_too() -> None:
    history = [
        Price("SVC-1", dt.date(2024, 1, 1), Decimal("27.00")),
        Price("SVC-1", dt.date(2024, 6, 1), Decimal("29.00")),
    ]
    item = the_item(service(), [line("25.00")], prices=history)
    assert item.reasons == {"STALE_PRICE": (Decimal("-2.00"), "25.00")}
    assert reasons(service(), [line("29.01")], prices=history) == {"STALE_PRICE": Decimal("2.01")}


def test_a_forgotten_discount_is_recognised() -> None:
    discounted = service(1, "25.00", discount_percent=Decimal("10"))
    assert reasons(discounted, [line("25.00")]) == {"DISCOUNT_MISSING": Decimal("2.50")}


def test_one_wrong_line_is_a_price_and_several_are_unexplained() -> None:
    assert reasons(service(), [line("28.50")]) == {"PRICE_MISMATCH": Decimal("3.50")}
    assert reasons(service(), [line("20.00", 1), line("8.50", 2, description="Option")]) == {
        "UNEXPLAINED": Decimal("3.50")
    }


def test_an_old_price_billed_twice_is_two_reasons_and_the_weightier_leads() -> None:
    history = [Price("SVC-1", dt.date(2024, 1, 1), Decimal("27.00"))]
    item = the_item(service(), [line("25.00", 1), line("25.00", 2)], prices=history)
    assert item.reasons == {"DUPLICATE_LINE": (Decimal("25.00"), None), "STALE_PRICE": (Decimal("-2.00"), "25.00")}
    assert item.reason_code == "DUPLICATE_LINE"


@pytest.mark.parametrize(
    ("convention", "expected"),
    [("ACTUAL_DAYS", "16.94"), ("THIRTIETHS", "17.50"), ("FULL_START_MONTH", "25.00"), ("FULL_MONTH", "25.00")],
)
def test_what_each_convention_expects_of_a_late_start_matches(convention: str, expected: str) -> None:
    late = service(1, "25.00", activated_on=dt.date(2024, 3, 11))
    rules = ReconciliationRules(proration=Proration(convention))
    (item,) = reconcile([late], [], [], [line(expected)], [], Period(2024, 3), rules)
    assert (item.status, item.service_amount) == ("MATCHED", Decimal(expected))


def test_a_price_a_cent_away_is_not_called_an_old_one() -> None:
    history = [Price("SVC-1", dt.date(2024, 6, 1), Decimal("25.01"))]
    assert reasons(service(), [line("25.02")], prices=history) == {"PRICE_MISMATCH": Decimal("0.02")}


def test_a_credit_clears_a_duplicate_before_a_line_that_stands_alone() -> None:
    lines = [line("20.00", 1, description="A"), line("20.00", 2), line("20.00", 3), credit("-20.00", 4)]
    # One of the two alike is netted: nothing is a duplicate, two lines are left for 40 - 30.
    assert reasons(service(1, "30.00"), lines) == {"UNEXPLAINED": Decimal("10.00")}


def test_a_credit_for_the_days_after_the_end_is_no_bill_for_them() -> None:
    ended = service(1, "31.00", terminated_on=dt.date(2024, 3, 10))
    lines = [line("12.00", 1, service_to=dt.date(2024, 3, 10)), credit("-1.00", 2, service_from=dt.date(2024, 3, 11))]
    assert reasons(ended, lines) == {"UNEXPLAINED": Decimal("1.00")}


def test_a_month_ended_on_its_last_day_is_no_partial_month() -> None:
    ended = service(1, "25.00", terminated_on=dt.date(2024, 3, 31))
    rules = ReconciliationRules(proration=Proration.FULL_START_MONTH)
    assert reasons(ended, [line("25.00")], rules=rules) == {"PRICE_MISMATCH": Decimal("25.00")}
