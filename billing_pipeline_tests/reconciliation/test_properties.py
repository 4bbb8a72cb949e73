"""What must not make a difference to a month's verdicts, and what makes exactly one.

Each example is a month of forty generated cases: a run of the engine costs seconds, so there are few of them unless
BILLING_TEST_SWEEP=full asks for many.
"""

import datetime as dt
import os
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from billing_pipeline.config import Proration, ReconciliationRules
from billing_pipeline.periods import Period
from billing_pipeline_tests.reconciliation.generated_month import month_of_cases, shuffled, verdicts_of
from billing_pipeline_tests.reference.allocation import share_of
from billing_pipeline_tests.reference.generated import PERIODS, Case
from billing_pipeline_tests.reference.records import Item, Line, Service

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
CASES = 40
few = settings(max_examples=25 if FULL else 2, deadline=None, derandomize=not FULL, database=None)
months = st.builds(
    lambda seed, period, proration: month_of_cases(
        1_000_000 + seed * CASES, CASES, Period.parse(period), ReconciliationRules(proration=proration)
    ),
    st.integers(0, 10_000),
    st.sampled_from(PERIODS),
    st.sampled_from(Proration),
)


def by_id(case: Case, **how: int) -> dict[str, Item]:
    return {item.item_id: item for item in verdicts_of(case, **how)}


@few
@given(months, st.integers(0, 1000), st.integers(1, 4))
def test_neither_the_order_of_rows_nor_how_files_split_them_changes_a_verdict(month, seed, files):
    assert by_id(shuffled(month, seed), files=files) == by_id(month)


@few
@given(months)
def test_one_more_matched_service_changes_no_other_item(month):
    new = Service(
        service_id="one-more", monthly_price_ht=Decimal("17.00"), activated_on=dt.date(2020, 1, 1),
        installed_offer_id="one-more-offer", currency="EUR",
    )  # fmt: skip
    line = Line(
        period=str(month.period), invoice_id="one-more-invoice", line_id="1", total_ht=Decimal("17.00"),
        service_id="one-more", installed_offer_id="one-more-offer", charge_month=str(month.period),
    )  # fmt: skip
    before = by_id(month)
    after = by_id(replace(month, services=(*month.services, new), lines=(*month.lines, line)))
    assert after.pop("service:one-more").status == "MATCHED"
    assert after == before


@few
@given(months, st.integers(0, 10_000))
def test_a_line_moved_to_another_month_takes_exactly_its_share_along(month, pick):
    before = by_id(month)
    holder = {line: item for item in before.values() for line in item.invoice_line_ids}
    ours = [line for line in month.lines if line.reference in holder]
    moved = ours[pick % len(ours)]
    item = holder[moved.reference]
    away = month.period.shift(300)
    elsewhere = replace(moved, service_from=away.first_day, service_to=away.last_day)
    after = by_id(replace(month, lines=tuple(elsewhere if line is moved else line for line in month.lines)))

    share = share_of(moved, month.period)
    assert share is not None
    amount = share.amount if moved.currency == item.currency else share.invoicing_amount
    assert taken(before, after) == ({item.currency: amount} if amount else {})
    assert all(moved.reference not in one.invoice_line_ids for one in after.values())
    # Its service may now be judged otherwise, and so may that service's other lines; nothing else.
    unlike = [one for one in {*before, *after} if before.get(one) != after.get(one)]
    touched = {(before.get(one) or after[one]).service_id for one in unlike}
    assert touched <= {item.service_id}
    if item.service_id is None:
        assert unlike == [item.item_id]


def taken(before: dict[str, Item], after: dict[str, Item]) -> dict[str, Decimal]:
    """Per currency what the items bill less than they did; without those of no difference."""
    less: dict[str, Decimal] = defaultdict(Decimal)
    for sign, items in ((1, before), (-1, after)):
        for one in items.values():
            less[one.currency] += sign * (one.invoice_amount or Decimal(0))
    return {currency: amount for currency, amount in less.items() if amount}


def test_the_months_are_worth_looking_at():
    """Every kind of verdict occurs in them, or the properties above would say little."""
    month = month_of_cases(1_000_000, CASES, Period.parse(PERIODS[0]), ReconciliationRules())
    codes = {item.reason_code for item in by_id(month).values()}
    assert len(codes) > 8
    assert {item.status for item in by_id(month).values()} == {"MATCHED", "UNMATCHED", "DISCREPANCY"}
