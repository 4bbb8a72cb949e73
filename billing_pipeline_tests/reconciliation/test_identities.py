"""The identities must see every corruption, above all the missing and the null."""

from decimal import Decimal

import pytest

from billing_pipeline.reconciliation import identities
from billing_pipeline.reconciliation.allocate import allocate
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.tables import LINE_ALLOCATIONS, RECONCILIATION_ITEMS, RECONCILIATION_REASONS, SERVICES

from .month import LINES, Month, line, registered, rows, service, table

D = Decimal
ALLOCATIONS = content_schema(LINE_ALLOCATIONS).append(LINES.field("period"))


@pytest.fixture(scope="module")
def month():
    """Services A (matched), B (3.00 too much), C (not billed); a line of nobody; a foreign one."""
    contracts = [service(name, "25") for name in "ABCD"]
    lines = [
        line("1", "A", "25"),
        line("2", "B", "28"),
        line("3", "X", "7"),
        line("4", "D", "9", currency="USD"),
        line("5", "A", "3", currency="USD", charge_type="one_off", invoicing_amount="2", invoicing_currency="EUR"),
    ]
    inputs, results = Month(contracts, lines).results()
    return {
        "services": rows(inputs.services),
        "allocations": rows(inputs.allocations),
        "items": rows(results.items),
        "reasons": rows(results.reasons),
    }


def violated(month, **replaced):
    """The identities 3 to 6 that do not hold."""
    parts = {**month, **replaced}
    off = identities.check(
        registered(SERVICES, parts["services"]),
        table(ALLOCATIONS, parts["allocations"]),
        registered(RECONCILIATION_ITEMS, parts["items"]),
        registered(RECONCILIATION_REASONS, parts["reasons"]),
    )
    return {row["identity"] for row in rows(off)}


def changed(found, key, **values):
    """`found` with one row altered: the first whose text holds `key`."""
    index = next(
        i for i, row in enumerate(found) if key in str(row.get("item_id", row.get("line_id", row.get("service_id"))))
    )
    return [{**row, **values} if i == index else row for i, row in enumerate(found)]


def without(found, key):
    return [row for row in found if row["item_id"] != key]


def test_sound_books_are_not_accused(month):
    assert violated(month) == set()


def test_a_row_that_vanished_is_seen():
    assert rows(identities.rows_accounted_for(10, 9, 1, "f.csv")) == []
    assert rows(identities.rows_accounted_for(10, 9, 0, "f.csv")) == [
        {"identity": 1, "subject": "f.csv", "expected": D(10), "actual": D(9)}
    ]


@pytest.mark.parametrize("amount", [D("24.99"), None])
def test_an_item_that_bills_another_amount_is_seen(month, amount):
    assert 3 in violated(month, items=changed(month["items"], "service:A", invoice_amount=amount))


def test_an_item_in_another_currency_is_seen(month):
    assert 3 in violated(month, items=changed(month["items"], "service:A", currency="USD"))


def test_an_allocation_without_amount_is_seen(month):
    assert 3 in violated(month, allocations=changed(month["allocations"], "1", amount_ht=None))


@pytest.mark.parametrize("amount", [D("24.99"), None])
def test_an_item_that_expects_another_amount_is_seen(month, amount):
    assert 4 in violated(month, items=changed(month["items"], "service:A", service_amount=amount))
    assert 4 in violated(month, services=changed(month["services"], "A", expected_amount=amount))


def test_an_item_of_no_side_is_seen(month):
    assert {4, 6} <= violated(month, items=changed(month["items"], "service:A", side=None))


def test_reasons_that_do_not_add_up_are_seen(month):
    assert violated(month, reasons=changed(month["reasons"], "service:B", amount=D("2.99"))) == {5}
    assert violated(month, reasons=changed(month["reasons"], "service:B", amount=None)) == {5}
    assert violated(month, reasons=without(month["reasons"], "service:C")) == {5}


def test_a_reason_of_no_item_is_seen(month):
    stray = [*month["reasons"], {"item_id": "service:Z", "reason_code": "ROUNDING", "amount": D(1)}]
    assert violated(month, reasons=stray) == {5}


@pytest.mark.parametrize("difference", [D("1"), None])
def test_a_difference_that_is_none_is_seen(month, difference):
    assert violated(month, items=changed(month["items"], "service:B", difference=difference)) == {5}


def test_a_service_or_a_line_in_no_item_is_seen(month):
    assert 6 in violated(month, items=without(month["items"], "service:C"))
    assert 6 in violated(month, items=without(month["items"], "line:INV-1:3"))
    assert violated(month, items=changed(month["items"], "service:A", invoice_line_ids=[])) == {6}


def test_a_service_or_a_line_in_two_items_is_seen(month):
    again = next(row for row in month["items"] if row["item_id"] == "service:A")
    assert 6 in violated(month, items=[*month["items"], {**again, "item_id": "service:A2"}])


def test_a_null_service_of_a_service_item_is_seen(month):
    assert 6 in violated(month, items=changed(month["items"], "service:C", service_id=None))


def test_a_line_that_was_never_allocated_is_seen(month):
    ghost = changed(month["items"], "service:C", invoice_line_ids=["INV-1:99"])
    assert violated(month, items=ghost) == {6}


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda shares: shares[1:],
        lambda shares: [*shares, shares[0]],
        lambda shares: [{**shares[0], "amount_ht": D("0.01")}, *shares[1:]],
        lambda shares: [{**shares[0], "amount_ht": None}, *shares[1:]],
        lambda shares: [{**shares[0], "currency": "USD"}, *shares[1:]],
        lambda shares: [{**shares[0], "invoicing_amount": None}, *shares[1:]],
        lambda shares: [{**shares[0], "invoice_id": "INV-2"}, *shares[1:]],
    ],
)
def test_shares_that_do_not_make_their_line_are_seen(corrupt):
    quarter = line("1", "S", "9", days=("01-01", "03-31"), invoicing_amount="6", invoicing_currency="GBP")
    billed = table(LINES, [quarter])
    shares = rows(allocate(billed))
    assert rows(identities.allocations_add_up(billed, table(ALLOCATIONS, shares))) == []
    off = rows(identities.allocations_add_up(billed, table(ALLOCATIONS, corrupt(shares))))
    assert {row["identity"] for row in off} == {2}


def test_a_line_of_no_amount_still_wants_its_share():
    billed = table(LINES, [line("1", "S", "0")])
    nothing = table(ALLOCATIONS, [])
    assert [row["subject"] for row in rows(identities.allocations_add_up(billed, nothing))] == ["line INV-1:1"]
