"""Which month does a euro belong to: a line's service days, and its shares. No service, no verdict."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing_pipeline.periods import Period
from billing_pipeline_tests.reference.exact import half_up
from billing_pipeline_tests.reference.records import Line

ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Share:
    """A line's part of one month: `days` covered, the part of total_ht and of invoicing_amount."""

    month: Period
    days: int
    amount: Decimal
    invoicing_amount: Decimal | None


def is_month_dated(line: Line) -> bool:
    """True where the line states no Period from-to, only a month or nothing."""
    return line.service_from is None or line.service_to is None


def service_days(line: Line) -> tuple[dt.date, dt.date]:
    """First and last service day: Period from-to, else the Charge Month, else the invoice's period."""
    if line.service_from is not None and line.service_to is not None:
        return line.service_from, line.service_to
    month = Period.parse(line.charge_month or line.period)
    return month.first_day, month.last_day


def days_between(first: dt.date, last: dt.date) -> list[dt.date]:
    """Every day from `first` to `last`, both included."""
    days = []
    day = first
    while day <= last:
        days.append(day)
        day += ONE_DAY
    return days


def allocate(line: Line) -> list[Share]:
    """The line's shares in month order; they add up to the line exactly."""
    first, last = service_days(line)
    months = list(Period.of(first).through(Period.of(last)))
    days = dict.fromkeys(months, 0)
    for day in days_between(first, last):
        days[Period.of(day)] += 1
    whole_months = all(days[month] == month.days for month in months)
    weights = [1 if whole_months else days[month] for month in months]
    amounts = cumulative_shares(line.total_ht, weights)
    if line.invoicing_amount is None:
        invoicing: list[Decimal | None] = [None] * len(months)
    else:
        invoicing = list(cumulative_shares(line.invoicing_amount, weights))
    return [
        Share(month, days[month], amount, other)
        for month, amount, other in zip(months, amounts, invoicing, strict=True)
    ]


def cumulative_shares(total: Decimal, weights: list[int]) -> list[Decimal]:
    """Up to month k: round_half_up(total × w_up_to_k / w, 0.01), less the earlier shares; the last takes the rest."""
    shares: list[Decimal] = []
    given = Decimal(0)
    for position in range(len(weights) - 1):
        up_to_here = Fraction(sum(weights[: position + 1]), sum(weights))
        share = half_up(Fraction(total) * up_to_here) - given
        shares.append(share)
        given += share
    shares.append(total - given)
    return shares


def share_of(line: Line, period: Period) -> Share | None:
    """The line's share of one month, or None where it has no day in it."""
    for share in allocate(line):
        if share.month == period:
            return share
    return None
