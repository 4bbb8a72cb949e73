"""The books balance on thousands of generated months, and the generator reaches the places it was made for."""

from collections import Counter
from dataclasses import fields
from decimal import Decimal

import pyarrow as pa
from hypothesis import given, settings

from billing_pipeline.schemas.columns import PROVENANCE
from billing_pipeline.schemas.tables import INVOICE_LINES, RECONCILIATION_ITEMS
from billing_pipeline_tests.reference.allocation import allocate, share_of
from billing_pipeline_tests.reference.expectation import active_days, expected_amount
from billing_pipeline_tests.reference.generated import Case, cases, seeded_case, seeded_cases, to_arrow
from billing_pipeline_tests.reference.records import Item, Line
from billing_pipeline_tests.reference.summary import invoice_statuses, summarise
from billing_pipeline_tests.reference.verdicts import reconcile

HOW_MANY = 2000


def items_of(case: Case) -> list[Item]:
    return reconcile(case.services, case.prices, case.charges, case.lines, case.rejected_keys, case.period, case.rules)


def check_identities(case: Case) -> list[Item]:
    items = items_of(case)
    in_period = {line.reference: line for line in case.lines if share_of(line, case.period) is not None}
    for line in case.lines:
        shares = allocate(line)
        assert sum(share.amount for share in shares) == line.total_ht
        if line.invoicing_amount is not None:
            assert sum(share.invoicing_amount or 0 for share in shares) == line.invoicing_amount
    for item in items:
        if item.invoice_amount is not None:
            lines = [in_period[reference] for reference in item.invoice_line_ids]
            assert item.invoice_amount == sum((amount_in(case, line, item.currency) for line in lines), Decimal(0))
        if item.reason_code != "CURRENCY_MISMATCH":
            explained = sum((amount for amount, _ in item.reasons.values()), Decimal(0))
            assert (
                explained
                == (item.invoice_amount or Decimal(0)) - (item.service_amount or Decimal(0))
                == item.difference
            )
        assert all(amount != 0 for amount, _ in item.reasons.values())
        assert (item.detail is None) == (item.status == "MATCHED")
        assert item.status == "MATCHED" or item.reason_code is not None
    assert Counter(reference for item in items for reference in item.invoice_line_ids) == Counter(in_period.keys())
    active = [service for service in case.services if active_days(service, case.period)]
    of_services = [item for item in items if item.side == "service"]
    assert Counter(item.service_id for item in of_services) == Counter(service.service_id for service in active)
    expected = sum((expected_amount(one, case.prices, case.period, case.rules.proration) for one in active), Decimal(0))
    assert sum((item.service_amount or Decimal(0) for item in of_services), Decimal(0)) == expected
    assert len({item.item_id for item in items}) == len(items)
    return items


def amount_in(case: Case, line: Line, currency: str) -> Decimal:
    """The line's share in the item's currency; the invoicing pair only where the charge is in another."""
    share = share_of(line, case.period)
    assert share is not None
    if line.currency == currency:
        return share.amount
    assert line.invoicing_currency == currency
    assert share.invoicing_amount is not None
    return share.invoicing_amount


def test_the_books_balance_on_every_generated_month() -> None:
    met: Counter[str] = Counter()
    for case in seeded_cases(HOW_MANY):
        for item in check_identities(case):
            met.update({*item.reasons, f"{item.side} {item.status} {item.reason_code}"})
    assert {
        "DUPLICATE_LINE", "BILLED_AFTER_TERMINATION", "BILLED_BEFORE_ACTIVATION", "PRORATION", "STALE_PRICE",
        "DISCOUNT_MISSING", "ROUNDING", "PRICE_MISMATCH", "UNEXPLAINED", "NOT_BILLED", "LINE_REJECTED",
        "service DISCREPANCY CURRENCY_MISMATCH", "line DISCREPANCY CURRENCY_MISMATCH", "line MATCHED ROUNDING",
        "line MATCHED None", "line UNMATCHED AMBIGUOUS_SERVICE", "line DISCREPANCY UNEXPECTED_CHARGE",
        "line UNMATCHED BILLED_AFTER_TERMINATION", "line UNMATCHED BILLED_BEFORE_ACTIVATION",
    } <= set(met)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(cases())
def test_the_books_balance_on_months_that_shrink(case: Case) -> None:
    check_identities(case)


def test_the_order_in_which_lines_arrive_changes_nothing() -> None:
    for case in seeded_cases(200, seed=50_000):
        turned = Case(
            case.services[::-1],
            case.prices[::-1],
            case.charges,
            case.lines[::-1],
            case.rejected_keys,
            case.period,
            case.rules,
        )
        assert items_of(turned) == items_of(case)


def test_the_summary_counts_each_item_once() -> None:
    for case in seeded_cases(300, seed=70_000):
        items = items_of(case)
        summary = summarise(items, case.services)
        assert summary.total_services == summary.matched + summary.unmatched + summary.discrepancies
        assert summary.total_services + summary.line_items == len(items)
        assert summary.difference == summary.invoice_amount - summary.service_amount
        worst = invoice_statuses(case.lines, items, [], case.period)
        assert {line.invoice_id for line in case.lines if share_of(line, case.period)} == set(worst)


def test_a_seed_gives_the_same_month_again() -> None:
    assert seeded_case(7) == seeded_case(7)
    assert len({repr(case) for case in seeded_cases(50)}) == 50


def test_cases_become_tables_without_losing_a_digit() -> None:
    case = next(case for case in seeded_cases(500) if len(case.lines) >= 4 and case.prices and case.charges)
    tables = to_arrow(case)
    assert [row["total_ht"] for row in tables["lines"].to_pylist()] == [line.total_ht for line in case.lines]
    assert tables["services"].schema.field("monthly_price_ht").type == pa.decimal128(18, 6)
    assert tables["services"].column("activated_on").to_pylist() == [one.activated_on for one in case.services]
    assert {name: table.num_rows for name, table in tables.items()} == {
        "services": len(case.services),
        "prices": len(case.prices),
        "expected_charges": len(case.charges),
        "lines": len(case.lines),
    }


def test_the_records_have_the_registrys_columns() -> None:
    provenance = {column.name for column in PROVENANCE}
    assert [field.name for field in fields(Line)] == [name for name in INVOICE_LINES.names if name not in provenance]
    own = [name for name in RECONCILIATION_ITEMS.names if name not in {*provenance, "operator_code", "period"}]
    assert [field.name for field in fields(Item)] == [*own, "reasons"]
