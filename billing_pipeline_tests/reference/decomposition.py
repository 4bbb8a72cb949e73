"""Why a service's bill differs from what was expected: steps 1 to 6. Which item it becomes is in verdicts.py."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing_pipeline.config import Proration, ReconciliationRules
from billing_pipeline.periods import Period
from billing_pipeline_tests.reference.allocation import is_month_dated, service_days
from billing_pipeline_tests.reference.exact import half_up
from billing_pipeline_tests.reference.expectation import (
    active_days,
    expected_amount,
    expected_at_price,
    expected_full_month,
    expected_without_discount,
    history,
)
from billing_pipeline_tests.reference.records import Line, Price, Service


@dataclass(frozen=True)
class Billed:
    """A line as period P sees it: `amount` the whole line, `share` its part of P, both in `currency`."""

    line: Line
    amount: Decimal
    share: Decimal
    currency: str
    tier: str | None

    @property
    def same_charge(self) -> tuple[str, dt.date, dt.date, Decimal]:
        """What two lines have in common when one is the other's duplicate."""
        return ((self.line.description or "").strip().casefold(), *service_days(self.line), self.amount)


@dataclass(frozen=True)
class Reason:
    code: str
    amount: Decimal
    note: str | None = None


@dataclass(frozen=True)
class Question:
    """All that the decomposition of one service's Δ depends on. `expected` is E, `tolerance` is tol."""

    service: Service
    prices: Sequence[Price]
    period: Period
    rules: ReconciliationRules
    billed: Sequence[Billed]
    expected: Decimal
    tolerance: Decimal


def decompose(question: Question) -> list[Reason]:
    """The reasons in step order; their amounts add up to Δ. Called only with |Δ| > tol."""
    left = sum((one.share for one in question.billed), Decimal(0)) - question.expected
    reasons: list[Reason] = []

    extras, pairs = duplicates_and_netted_pairs(question.billed)
    duplicated = sum((one.share for one in extras), Decimal(0))
    if extras:
        reasons.append(Reason("DUPLICATE_LINE", duplicated))
        left -= duplicated
    remaining = sum((one.share for one in question.billed), Decimal(0)) - duplicated  # B'

    if abs(left) > question.tolerance:
        outside = outside_life(question, remaining)
        if outside is not None:
            reasons.append(outside)
            left -= outside.amount

    if abs(left) > question.tolerance:
        takes_all = proration(question, remaining) or stale_price(question, remaining)
        takes_all = takes_all or discount_missing(question, remaining)
        if takes_all is not None:
            reasons.append(Reason(takes_all[0], left, takes_all[1]))
            left = Decimal(0)

    if left != 0:
        lines_left = len(question.billed) - len(extras) - 2 * pairs
        if abs(left) <= question.tolerance:
            reasons.append(Reason("ROUNDING", left))
        else:
            reasons.append(Reason("PRICE_MISMATCH" if lines_left == 1 else "UNEXPLAINED", left))
    return reasons


def duplicates_and_netted_pairs(billed: Sequence[Billed]) -> tuple[list[Billed], int]:
    """Step 1: every line of a group but its first, after credits have netted lines away; how many they netted."""
    groups: dict[tuple[str, dt.date, dt.date, Decimal], list[Billed]] = {}
    for one in sorted(billed, key=lambda one: one.line.ids):
        if one.amount > 0:
            groups.setdefault(one.same_charge, []).append(one)
    by_lowest_ids = sorted(groups.values(), key=lambda group: group[0].line.ids)

    pairs = 0
    for credit in sorted(billed, key=lambda one: one.line.ids):
        if credit.amount >= 0:
            continue
        of_same_days_and_amount = [
            group
            for group in by_lowest_ids
            if group and group[0].same_charge[1:] == (*service_days(credit.line), -credit.amount)
        ]
        still_several = [group for group in of_same_days_and_amount if len(group) >= 2]
        candidates = still_several or of_same_days_and_amount
        if candidates:
            # The lines of a group are alike; the last goes, so that the group keeps its place in the order.
            candidates[0].pop()
            pairs += 1
    return [extra for group in by_lowest_ids for extra in group[1:]], pairs


def outside_life(question: Question, remaining: Decimal) -> Reason | None:
    """Step 2: the part of B' that is for days after the last, else before the first, day of service."""
    days = billed_days(question, remaining)
    service = question.service
    if service.terminated_on is not None and any(day > service.terminated_on for day in days):
        code = "BILLED_AFTER_TERMINATION"
    elif any(day < service.activated_on for day in days):
        code = "BILLED_BEFORE_ACTIVATION"
    else:
        return None
    full = expected_full_month(service, question.prices, question.period, question.rules.proration)
    if full == 0:
        return Reason(code, remaining)
    due = half_up(Fraction(remaining) * Fraction(question.expected) / Fraction(full))
    return Reason(code, remaining - due)


def billed_days(question: Question, remaining: Decimal) -> set[dt.date]:
    """Days of P that the lines of positive amount bill."""
    period = question.period
    full = expected_full_month(question.service, question.prices, period, question.rules.proration)
    days: set[dt.date] = set()
    whole_month = [period.first_day + dt.timedelta(days=index) for index in range(period.days)]
    for one in question.billed:
        if one.amount <= 0:
            continue
        if not is_month_dated(one.line):
            first, last = service_days(one.line)
            days.update(day for day in whole_month if first <= day <= last)
        elif abs(remaining - full) <= question.tolerance:
            days.update(whole_month)
        else:
            days.update(active_days(question.service, period))
    return days


def proration(question: Question, remaining: Decimal) -> tuple[str, str | None] | None:
    """Step 3: B' is what another convention would give for this partial month."""
    service, period = question.service, question.period
    if len(active_days(service, period)) == period.days or outside_life(question, remaining) is not None:
        return None
    for convention in Proration:
        other = expected_amount(service, question.prices, period, convention)
        differs = abs(other - question.expected) > question.tolerance
        if convention is not question.rules.proration and differs and abs(remaining - other) <= question.tolerance:
            return "PRORATION", convention.value
    return None


def stale_price(question: Question, remaining: Decimal) -> tuple[str, str | None] | None:
    """Step 4: B' is E at one other price of the history throughout."""
    service = question.service
    for price in history(service, question.prices):
        other = expected_at_price(service, price, question.period, question.rules.proration)
        differs = abs(other - question.expected) > question.tolerance
        if differs and abs(remaining - other) <= question.tolerance:
            return "STALE_PRICE", f"{price:f}"
    return None


def discount_missing(question: Question, remaining: Decimal) -> tuple[str, str | None] | None:
    """Step 5: B' is E without the discount."""
    service = question.service
    full_price = expected_without_discount(service, question.prices, question.period, question.rules.proration)
    if service.discount_percent > 0 and abs(remaining - full_price) <= question.tolerance:
        return "DISCOUNT_MISSING", None
    return None
