"""Every row of the verdict table, and who is counted where."""

import random
from decimal import Decimal

import pytest

from billing_pipeline.config import ReconciliationRules

from .month import Month, line, rows, service

D = Decimal


def verdict(item):
    return item["side"], item["status"], item["reason_code"]


def amounts(item):
    return item["service_amount"], item["invoice_amount"], item["difference"]


def test_a_service_billed_as_expected_has_no_reason_and_no_detail():
    item = Month([service("S", "25.00")], [line("L", "S", "25.00")]).outcome().item("service:S")
    assert verdict(item) == ("service", "MATCHED", None)
    assert amounts(item) == (D("25"), D("25"), D(0))
    assert (item["detail"], item["match_key"], item["currency"]) == (None, "service_id", "EUR")
    assert (item["invoice_id"], item["invoice_line_id"], item["invoice_line_ids"]) == ("INV-1", "L", ["INV-1:L"])


def test_a_cent_too_much_is_rounding_and_two_cents_are_not():
    # One line: tolerance 0.01.
    outcome = Month(
        [service("A", "25"), service("B", "25")], [line("1", "A", "25.01"), line("2", "B", "25.02")]
    ).outcome()
    assert verdict(outcome.item("service:A")) == ("service", "MATCHED", "ROUNDING")
    assert outcome.amounts("service:A") == {"ROUNDING": D("0.01")}
    assert outcome.item("service:B")["status"] == "DISCREPANCY"


def test_the_tolerance_grows_with_the_lines_and_not_without_them():
    # Two lines of 12.51 make 25.02, 0.02 too much: within 2 x 0.01. Three lines allow no 0.04.
    contracts = [service("A", "25"), service("B", "25")]
    lines = [
        line("1", "A", "12.51"),
        line("2", "A", "12.51", description="Option"),
        *(line(f"b{i}", "B", a, description=f"d{i}") for i, a in enumerate(("12.52", "6.26", "6.26"))),
    ]
    outcome = Month(contracts, lines).outcome()
    assert verdict(outcome.item("service:A")) == ("service", "MATCHED", "ROUNDING")
    assert outcome.item("service:B")["status"] == "DISCREPANCY"


def test_an_unbilled_free_service_is_no_anomaly():
    outcome = Month([service("FREE", "0"), service("CENT", "0.01"), service("TWO", "0.02")]).outcome()
    assert verdict(outcome.item("service:FREE")) == ("service", "MATCHED", None)
    assert amounts(outcome.item("service:FREE")) == (D(0), None, D(0))
    assert verdict(outcome.item("service:CENT")) == ("service", "MATCHED", "ROUNDING")
    assert outcome.amounts("service:CENT") == {"ROUNDING": D("-0.01")}
    assert verdict(outcome.item("service:TWO")) == ("service", "UNMATCHED", "NOT_BILLED")


def test_an_unbilled_service_owes_nothing_and_names_no_line():
    item = Month([service("S", "22")]).outcome().item("service:S")
    assert verdict(item) == ("service", "UNMATCHED", "NOT_BILLED")
    assert amounts(item) == (D("22"), None, D("-22"))
    assert (item["invoice_id"], item["invoice_line_id"], item["invoice_line_ids"], item["match_key"]) == (
        None,
        None,
        [],
        None,
    )
    assert item["detail"] == "Service actif sans ligne de facturation correspondante"


@pytest.mark.parametrize("key", ["installed_offer_id", "external_reference", "serial_number", "order_reference"])
def test_a_rejected_row_is_not_mistaken_for_a_missing_one(key):
    month = Month([service("S", "22", **{key: " Key-1"}), service("T", "22")], rejected=[{key: "kEY-1 "}])
    outcome = month.outcome()
    assert verdict(outcome.item("service:S")) == ("service", "UNMATCHED", "LINE_REJECTED")
    assert outcome.item("service:S")["detail"] == "Ligne de facturation rejetée à la lecture"
    assert outcome.amounts("service:S") == {"LINE_REJECTED": D("-22")}
    assert outcome.item("service:T")["reason_code"] == "NOT_BILLED"


def test_a_blank_rejected_key_accuses_no_service():
    month = Month([service("S", "22", serial_number="  ")], rejected=[{"serial_number": " "}, {}])
    assert month.outcome().item("service:S")["reason_code"] == "NOT_BILLED"


def test_a_rejected_row_does_not_excuse_a_service_that_was_billed():
    month = Month([service("S", "22", serial_number="K")], [line("L", "S", "22")], rejected=[{"serial_number": "K"}])
    assert verdict(month.outcome().item("service:S")) == ("service", "MATCHED", None)


def test_what_is_billed_after_the_end_or_before_the_start_is_counted_apart():
    contracts = [
        service("ENDED", "10", until="2024-02-29"),
        service("LATER", "10", since="2024-04-01"),
        service("CENT", "10", until="2024-01-31"),
        service("ZERO", "10", until="2024-01-31"),
    ]
    lines = [line("1", "ENDED", "10"), line("2", "LATER", "10"), line("3", "CENT", "0.01"), line("4", "ZERO", "0")]
    outcome = Month(contracts, lines).outcome()
    ended, later = outcome.item("service:ENDED"), outcome.item("service:LATER")
    assert verdict(ended) == ("line", "UNMATCHED", "BILLED_AFTER_TERMINATION")
    assert amounts(ended) == (None, D("10"), D("10"))
    assert ended["detail"] == "Facturé après la résiliation du service"
    assert verdict(later) == ("line", "UNMATCHED", "BILLED_BEFORE_ACTIVATION")
    assert later["detail"] == "Facturé avant l'activation du service"
    assert outcome.amounts("service:LATER") == {"BILLED_BEFORE_ACTIVATION": D("10")}
    assert verdict(outcome.item("service:CENT")) == ("line", "MATCHED", "ROUNDING")
    assert verdict(outcome.item("service:ZERO")) == ("line", "MATCHED", None)


def test_an_inactive_service_without_lines_is_no_item():
    assert Month([service("OLD", "10", until="2024-02-29")]).outcome().items == {}


def test_a_line_of_no_service_keeps_its_own_item():
    contracts = [service("S", "0")]
    outcome = Month(contracts, [line("L", "NOBODY", "7.50"), line("Z", None, "0")]).outcome()
    item = outcome.item("line:INV-1:L")
    assert verdict(item) == ("line", "UNMATCHED", "UNKNOWN_SERVICE")
    assert amounts(item) == (None, D("7.50"), D("7.50"))
    assert item["detail"] == "Ligne de facturation sans service actif correspondant"
    assert (item["service_id"], item["match_key"], item["invoice_line_ids"]) == (None, None, ["INV-1:L"])
    assert outcome.amounts("line:INV-1:L") == {"UNKNOWN_SERVICE": D("7.50")}
    # Nothing billed leaves no reason row, and the item still says why it stands there.
    assert outcome.item("line:INV-1:Z")["reason_code"] == "UNKNOWN_SERVICE"
    assert outcome.amounts("line:INV-1:Z") == {}


@pytest.mark.parametrize("charge_type", ["recurring", "one_off", "usage"])
def test_a_line_of_two_services_is_given_to_neither(charge_type):
    contracts = [service("A", "0", serial_number="X"), service("B", "0", serial_number="x ")]
    item = (
        Month(contracts, [line("L", None, "5", serial_number="X", charge_type=charge_type)])
        .outcome()
        .item("line:INV-1:L")
    )
    assert verdict(item) == ("line", "UNMATCHED", "AMBIGUOUS_SERVICE")
    assert (item["service_id"], item["match_key"]) == (None, "serial_number")
    assert item["detail"] == "Ligne de facturation rattachable à plusieurs services"


@pytest.mark.parametrize("charge_type", ["one_off", "usage"])
def test_a_one_off_line_of_no_service_is_unmatched(charge_type):
    item = (
        Month([service("S", "0")], [line("L", "NOBODY", "5", charge_type=charge_type)]).outcome().item("line:INV-1:L")
    )
    assert verdict(item) == ("line", "UNMATCHED", "UNKNOWN_SERVICE")


def test_lines_of_one_service_are_added_and_all_named():
    # 20 + 8 - 3 = 25; as text "INV-1:10" sorts before "INV-1:9".
    lines = [
        line("9", "S", "8", description="b"),
        line("10", "S", "20", description="a"),
        line("C", "S", "-3", description="c"),
    ]
    item = Month([service("S", "25")], lines).outcome().item("service:S")
    assert verdict(item) == ("service", "MATCHED", None)
    assert item["invoice_line_id"] == "10"
    assert item["invoice_line_ids"] == ["INV-1:10", "INV-1:9", "INV-1:C"]


def test_the_line_shown_is_the_largest_signed_share_then_the_lowest_ids():
    lines = [
        line("2", "S", "10", invoice_id="INV-2"),
        line("3", "S", "10", description="b"),
        line("1", "S", "-40", description="c"),
    ]
    item = Month([service("S", "25")], lines).outcome().item("service:S")
    assert (item["invoice_id"], item["invoice_line_id"]) == ("INV-1", "3")


def test_a_lines_key_is_the_one_by_which_the_shown_line_was_attributed():
    contracts = [service("S", "25", serial_number="K")]
    lines = [line("1", "S", "5"), line("2", None, "20", serial_number="K")]
    assert Month(contracts, lines).outcome().item("service:S")["match_key"] == "serial_number"


def test_the_order_of_the_rows_decides_nothing():
    contracts = [service(f"S{i}", str(10 + i), serial_number=f"N{i % 7}") for i in range(20)]
    lines = [line(f"{i:02}", f"S{i % 25}", str(10 + i % 3), days=("03-01", "03-31")) for i in range(40)]
    lines += [line(f"x{i}", None, "3", serial_number=f"N{i}", charge_type="one_off") for i in range(9)]
    charges = [{"service_id": f"S{i}", "period": "2024-03", "amount_ht": "3", "position": i + 1} for i in range(3)]

    def outcome(seed):
        month = Month(*[random.Random(seed).sample(part, len(part)) for part in (contracts, lines)])
        month.charges = random.Random(seed).sample(charges, len(charges))
        _, results = month.results()
        return sorted(map(str, rows(results.items))), sorted(map(str, rows(results.reasons)))

    assert outcome(1) == outcome(2) == outcome(3)


def test_a_wider_tolerance_of_the_contract_is_honoured():
    rules = ReconciliationRules(tolerance_per_line=D("0.0005"))
    strict = Month([service("S", "25")], [line("L", "S", "25.001")], rules=rules).outcome()
    assert strict.item("service:S")["status"] == "DISCREPANCY"
    wide = Month(
        [service("S", "25")], [line("L", "S", "28")], rules=ReconciliationRules(tolerance_per_line=D("3"))
    ).outcome()
    assert verdict(wide.item("service:S")) == ("service", "MATCHED", "ROUNDING")


def test_the_gap_is_worded_in_french_and_in_the_contracts_currency():
    contracts = [service("A", "1"), service("B", "1", currency="USD"), service("C", "2000000")]
    lines = [line("1", "A", "1235.5"), line("2", "B", "0.855", currency="USD"), line("3", "C", "0.25")]
    outcome = Month(contracts, lines).outcome()
    # 1235.50 - 1; 0.855 - 1, all its decimals; 0.25 - 2000000, without its sign.
    assert outcome.item("service:A")["detail"] == "Écart de 1\u202f234,50 € HT"
    assert outcome.item("service:B")["detail"] == "Écart de 0,145 USD HT"
    assert outcome.item("service:C")["detail"] == "Écart de 1\u202f999\u202f999,75 € HT"
