"""What a contract makes due for a month, in exact decimals: the generator's own reading of the proration conventions.

It shares no code with reconciliation/, so that the two can be held against each other. What is billed instead is
stories.py.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from billing_pipeline.config import Proration
from billing_pipeline.money import divide_half_up, round_half_up
from billing_pipeline.periods import Period

_HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Price per month excluding tax and its later changes (first day → price), discount, first and last day."""

    price: Decimal
    changes: tuple[tuple[dt.date, Decimal], ...] = ()
    discount_percent: Decimal = Decimal(0)
    activated_on: dt.date
    terminated_on: dt.date | None = None

    def active_days(self, period: Period) -> tuple[dt.date, dt.date] | None:
        """First and last day of service in the period, both included; None without a day."""
        first = max(self.activated_on, period.first_day)
        last = period.last_day if self.terminated_on is None else min(self.terminated_on, period.last_day)
        return (first, last) if first <= last else None

    def price_on(self, day: dt.date) -> Decimal:
        price = self.price
        for valid_from, changed in self.changes:
            if valid_from <= day:
                price = changed
        return price


def expected_amount(terms: Terms, period: Period, convention: Proration) -> Decimal:
    """Amount due for the period, rounded once to the cent; 0.00 for a month without service.

    `FULL_START_MONTH` bills nothing for the month of termination unless service also began in it.
    """
    active = terms.active_days(period)
    if active is None:
        return Decimal("0.00")
    first, last = active
    rest = _HUNDRED - terms.discount_percent
    whole_month = first == period.first_day and last == period.last_day
    if convention is Proration.FULL_START_MONTH or convention is Proration.FULL_MONTH:
        ends_here = terms.terminated_on is not None and Period.of(terms.terminated_on) == period
        starts_here = Period.of(terms.activated_on) == period
        if convention is Proration.FULL_START_MONTH and ends_here and not starts_here:
            return Decimal("0.00")
        return round_half_up(terms.price_on(first) * rest / _HUNDRED)
    segments = list(_price_segments(terms, first, last))
    if whole_month and len(segments) == 1:
        return round_half_up(segments[0][1] * rest / _HUNDRED)
    days_of_month = 30 if convention is Proration.THIRTIETHS and not whole_month else period.days
    due = sum((days * price for days, price in segments), Decimal(0))
    return divide_half_up(due * rest, days_of_month * 100)


def _price_segments(terms: Terms, first: dt.date, last: dt.date) -> Iterator[tuple[int, Decimal]]:
    """(days, price) of each stretch of days with one price."""
    start, price = first, terms.price_on(first)
    for valid_from, changed in terms.changes:
        if first < valid_from <= last and changed != price:
            yield (valid_from - start).days, price
            start, price = valid_from, changed
    yield (last - start).days + 1, price
