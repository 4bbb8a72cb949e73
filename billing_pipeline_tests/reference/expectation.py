"""What we expect an operator to bill for a service in a month, day by day. No line is looked at here."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from billing_pipeline.config import Proration
from billing_pipeline.periods import Period
from billing_pipeline_tests.reference.allocation import days_between
from billing_pipeline_tests.reference.exact import half_up
from billing_pipeline_tests.reference.records import Price, Service


def price_on(service: Service, prices: Sequence[Price], day: dt.date) -> Decimal:
    """The history's row in force on `day`; the inventory's price before the first row."""
    in_force = [row for row in prices if row.service_id == service.service_id and row.valid_from <= day]
    if not in_force:
        return service.monthly_price_ht
    return max(in_force, key=lambda row: row.valid_from).monthly_price_ht


def history(service: Service, prices: Sequence[Price]) -> list[Decimal]:
    """Every price the service has, had or will have: the inventory's, then the history's rows by date."""
    rows = sorted((row for row in prices if row.service_id == service.service_id), key=lambda row: row.valid_from)
    return [service.monthly_price_ht, *(row.monthly_price_ht for row in rows)]


def is_active_on(service: Service, day: dt.date) -> bool:
    return service.activated_on <= day and (service.terminated_on is None or day <= service.terminated_on)


def active_days(service: Service, period: Period) -> list[dt.date]:
    """The days of the period on which the service is in service."""
    return [day for day in days_between(period.first_day, period.last_day) if is_active_on(service, day)]


def expected_amount(service: Service, prices: Sequence[Price], period: Period, proration: Proration) -> Decimal:
    """E, in the contract's currency: 0 for a service without a day in the period."""
    return _expected(service, period, proration, lambda day: price_on(service, prices, day))


def expected_at_price(service: Service, price: Decimal, period: Period, proration: Proration) -> Decimal:
    """E as if `price` had been in force throughout."""
    return _expected(service, period, proration, lambda day: price)


def expected_without_discount(
    service: Service, prices: Sequence[Price], period: Period, proration: Proration
) -> Decimal:
    """E as if the contract had no discount."""
    return expected_amount(replace(service, discount_percent=Decimal(0)), prices, period, proration)


def expected_full_month(service: Service, prices: Sequence[Price], period: Period, proration: Proration) -> Decimal:
    """E_full: E as if the service had been active before, during and after the period."""
    always = replace(service, activated_on=dt.date.min, terminated_on=None)
    return expected_amount(always, prices, period, proration)


def _expected(service: Service, period: Period, proration: Proration, price: Callable[[dt.date], Decimal]) -> Decimal:
    days = active_days(service, period)
    if not days:
        return Decimal(0)
    undiscounted = _undiscounted(service, days, period, proration, price)
    return half_up(undiscounted * (100 - Fraction(service.discount_percent)) / 100)


def _undiscounted(
    service: Service,
    days: list[dt.date],
    period: Period,
    proration: Proration,
    price: Callable[[dt.date], Decimal],
) -> Fraction:
    by_calendar_days = sum((Fraction(price(day)) / period.days for day in days), Fraction(0))
    if proration is Proration.ACTUAL_DAYS:
        return by_calendar_days
    if proration is Proration.THIRTIETHS:
        if len(days) == period.days:
            # The same price every day adds up to the price; a price that changes inside is weighted by its days.
            return by_calendar_days
        return sum((Fraction(price(day)) / 30 for day in days), Fraction(0))
    if proration is Proration.FULL_START_MONTH:
        starts_here = Period.of(service.activated_on) == period
        ends_here = service.terminated_on is not None and Period.of(service.terminated_on) == period
        if ends_here and not starts_here:
            return Fraction(0)
    return Fraction(price(days[0]))
