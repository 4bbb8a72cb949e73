"""What a month comes to, and what each invoice is worth: exceptions are never hidden."""

from decimal import Decimal

from billing_pipeline.reconciliation.summary import invoice_status, summarize
from billing_pipeline.schemas.tables import INVOICE_FINDINGS

from .month import Month, line, no_findings, registered, rows, service

D = Decimal


def summary(*parts, **options):
    inputs, results = Month(*parts, **options).results()
    found = rows(summarize(results.items, inputs.services))
    assert len(found) == 1
    return found[0]


def test_every_active_service_is_counted_once_and_lines_apart():
    contracts = [service("A", "25"), service("B", "25"), service("C", "22"), service("OLD", "9", until="2024-01-31")]
    lines = [
        line("1", "A", "25"),
        line("2", "B", "28.5"),
        line("3", "X", "7"),
        line("4", "OLD", "9"),
        line("5", "A", "4", charge_type="usage"),
    ]
    found = summary(contracts, lines)
    assert (found["total_services"], found["matched"], found["unmatched"], found["discrepancies"]) == (3, 1, 1, 1)
    # Lines 3 and 4 are orphans, 7 + 9; line 5 is a discrepancy of its own.
    assert (found["line_items"], found["orphan_lines"], found["orphan_amount"]) == (3, 2, D(16))
    # Expected 25 + 25 + 22, billed 25 + 28.50 + 7 + 9 + 4.
    assert (found["service_amount"], found["invoice_amount"], found["difference"]) == (D(72), D("73.5"), D("1.5"))
    assert (found["currency"], found["other_currencies"]) == ("EUR", None)


def test_currencies_are_not_added_up():
    contracts = [service("A", "25"), service("B", "10"), service("C", "4", currency="USD")]
    lines = [line("1", "A", "25"), line("2", "B", "11", currency="USD"), line("3", "X", "1.5", currency="GBP")]
    found = summary(contracts, lines)
    # B is expected in EUR and billed in USD.
    assert (found["service_amount"], found["invoice_amount"], found["difference"]) == (D(35), D(25), D(-10))
    assert found["other_currencies"] == (
        "also in GBP: expected 0.00, billed 1.50, of which without a service 1.50; "
        "also in USD: expected 4.00, billed 11.00, of which without a service 0.00"
    )


def test_an_empty_month_comes_to_nothing_and_not_to_null():
    found = summary()
    assert {found.pop("currency"), found.pop("other_currencies")} == {None}
    assert set(found.values()) == {0}


def status(lines, *found):
    inputs, results = Month([service("A", "25"), service("B", "25")], lines).results()
    accusations = registered(INVOICE_FINDINGS, found) if found else no_findings()
    result = rows(invoice_status(results.items, inputs.allocations, accusations))
    return {row["invoice_id"]: row["reconciliation_status"] for row in result}


def test_an_invoice_is_as_good_as_its_worst_line():
    lines = [
        line("1", "A", "25", invoice_id="GOOD"),
        line("2", "X", "1", invoice_id="ORPHAN"),
        line("3", "B", "12", invoice_id="HALF"),
        line("4", "B", "14", invoice_id="OTHER HALF"),
        line("5", "X", "1", invoice_id="HALF"),
    ]
    assert status(lines) == {
        "GOOD": "MATCHED",
        "ORPHAN": "UNMATCHED",
        "HALF": "DISCREPANCY",
        "OTHER HALF": "DISCREPANCY",
    }


def test_a_finding_is_a_discrepancy_and_one_about_a_file_is_not():
    finding = {"invoice_id": "INV-1", "line_id": "", "code": "LINE_COUNT", "subject": ""}
    file = {"invoice_id": "", "line_id": "", "code": "FILE_PERIOD", "subject": "3fa9c1d2"}
    assert status([line("1", "A", "25")], finding) == {"INV-1": "DISCREPANCY"}
    assert status([line("1", "A", "25")], file) == {"INV-1": "MATCHED"}


def test_an_invoice_without_lines_in_the_month_has_no_status_there():
    elsewhere = {"invoice_id": "INV-9", "line_id": "", "code": "LINE_COUNT", "subject": ""}
    april = line("2", "A", "25", invoice_id="INV-2", charge_month="2024-04")
    assert status([line("1", "A", "25"), april], elsewhere) == {"INV-1": "MATCHED"}
