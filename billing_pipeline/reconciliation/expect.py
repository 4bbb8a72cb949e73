"""What a service should cost in a month: price history, proration convention, discount, one rounding.

No billed amount enters here; comparing is verdict.py's, and which alternative explains a difference is decompose.py's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import ibis
from ibis.expr.types import BooleanValue, DateValue, IntegerValue, NumericColumn, Table

from billing_pipeline.config import Proration
from billing_pipeline.money import round_ratio, whole_millionths
from billing_pipeline.periods import Period
from billing_pipeline.reconciliation.content import MONEY, WIDE
from billing_pipeline.reconciliation.keep import keep
from billing_pipeline.reconciliation.service_days import days_between

_NOTHING = ibis.literal(0, MONEY)
_NO_DISCOUNT = 100 * 10**6  # 100 % in millionths
# Priced days are millionths, the discount factor millionths of a percent: 10^6 x 10^6 x 100.
_UNITS = 10**14


def expected(services: Table, prices: Table, period: Period, proration: Proration) -> Table:
    """`services` with `expected_amount` (in the contract's currency, to the cent) and `active_days` for `period`.

    `services`: the columns of SERVICES without these two; `prices`: service_id, valid_from, monthly_price_ht.
    An inactive service keeps its row, with 0 and 0.
    """
    priced = _priced(services, prices, period)
    amount = _amount(_terms(priced), proration, period)
    return priced.select(
        *[priced[name] for name in services.columns], expected_amount=amount, active_days=priced.active_days
    )


def alternatives(
    services: Table, prices: Table, period: Period, proration: Proration, conventions: Iterable[Proration]
) -> Table:
    """What else could have been billed, one row per service: amounts in the contract's currency, to the cent.

    Columns: service_id and the contract's activated_on, terminated_on, discount_percent and active_days; `whole_month`,
    under `proration` as if active all of `period`; `without_discount`; and one column per other convention, named as the
    convention in lower case (so none of these may be called full_month).
    """
    # Kept, for each amount below names its operands a dozen times and engines are sent every mention.
    priced = keep(_priced(services, prices, period))
    terms = _terms(priced)
    whole = replace(
        terms,
        active_days=ibis.literal(period.days, "int64"),
        activated_on=ibis.literal(period.shift(-1).first_day),
        terminated_on=ibis.null("date"),
        priced_days=priced.full_days,
        first_price=priced.opening_price,
    )
    return priced.select(
        "service_id",
        "activated_on",
        "terminated_on",
        "discount_percent",
        "active_days",
        whole_month=_amount(whole, proration, period),
        without_discount=_amount(replace(terms, discount_percent=_NOTHING), proration, period),
        **{convention.lower(): _amount(terms, convention, period) for convention in conventions},
    )


def at_each_price(services: Table, prices: Table, period: Period, proration: Proration) -> Table:
    """What each service would cost at each price of its history throughout: service_id, price, amount.

    The inventory's price belongs to the history; prices of any day do, also later ones.
    """
    history = prices.select("service_id", price=prices.monthly_price_ht.cast(MONEY))
    known = services.select("service_id", price=services.monthly_price_ht.cast(MONEY)).union(history).distinct()
    active = _with_active_days(services, period)
    rows = active.inner_join(known, "service_id")
    rows = keep(rows.mutate(priced_days=rows.price.cast(WIDE) * rows.active_days))
    amount = _amount(_terms(rows, rows.price), proration, period)
    return rows.select("service_id", "price", amount=amount)


def _with_active_days(services: Table, period: Period) -> Table:
    first = ibis.greatest(services.activated_on, ibis.literal(period.first_day))
    last = ibis.least(
        ibis.coalesce(services.terminated_on, ibis.literal(period.last_day)), ibis.literal(period.last_day)
    )
    return services.mutate(
        active_days=ibis.greatest(days_between(first, last), 0), first_active_day=first, last_active_day=last
    )


def _priced(services: Table, prices: Table, period: Period) -> Table:
    """Services with active days and, over them and over the whole month, the sum of each day's price.

    Adds active_days; priced_days and full_days, Σ price(day) over active days and over all days; first_price and
    opening_price, the price of the first active day and of the month's first.
    """
    active = _with_active_days(services, period)
    history = _in_force(active, prices, period)
    rows = active.left_join(history, "service_id").drop("service_id_right")
    price = rows.monthly_price_ht.cast(WIDE)
    none = ibis.literal(0, WIDE)

    def over(days: NumericColumn, covered_days: NumericColumn, covered_price: NumericColumn) -> NumericColumn:
        # The days before the history's first row are at the inventory's price.
        return price * (days - ibis.coalesce(covered_days, 0)) + ibis.coalesce(covered_price, none)

    return rows.mutate(
        priced_days=over(rows.active_days, rows.covered_active, rows.history_active),
        full_days=over(ibis.literal(period.days, "int64"), rows.covered_month, rows.history_month),
        first_price=ibis.coalesce(rows.history_first, rows.monthly_price_ht).cast(MONEY),
        opening_price=ibis.coalesce(rows.history_opening, rows.monthly_price_ht).cast(MONEY),
    )


def _in_force(active: Table, prices: Table, period: Period) -> Table:
    """Per service whose history reaches into the month: how many days it prices and the sum of those days' prices."""
    order = ibis.window(group_by=prices.service_id, order_by=prices.valid_from)
    until = prices.select(
        "service_id",
        "valid_from",
        price=prices.monthly_price_ht.cast(WIDE),
        next_from=prices.valid_from.lead().over(order),
    )
    until = until.filter(
        (until.valid_from <= period.last_day) & (until.next_from.isnull() | (until.next_from > period.first_day))
    )
    rows = until.inner_join(active.select("service_id", "first_active_day", "last_active_day"), "service_id")
    month_first, month_last = ibis.literal(period.first_day), ibis.literal(period.last_day)

    def in_force(first: DateValue, last: DateValue) -> IntegerValue:
        start = ibis.greatest(rows.valid_from, first)
        superseded = ibis.coalesce(rows.next_from.delta(start, unit="day"), period.days)
        return ibis.greatest(ibis.least(days_between(start, last), superseded), 0)

    rows = rows.mutate(
        in_month=in_force(month_first, month_last),
        in_life=in_force(rows.first_active_day, rows.last_active_day),
        at_first=(rows.valid_from <= rows.first_active_day)
        & (rows.next_from.isnull() | (rows.next_from > rows.first_active_day)),
        at_opening=rows.valid_from <= month_first,
    )
    return rows.group_by("service_id").aggregate(
        covered_active=rows.in_life.sum(),
        covered_month=rows.in_month.sum(),
        history_active=(rows.price * rows.in_life).sum(),
        history_month=(rows.price * rows.in_month).sum(),
        history_first=rows.price.max(where=rows.at_first),
        history_opening=rows.price.max(where=rows.at_opening),
    )


@dataclass(frozen=True, slots=True)
class _Terms:
    """What an amount is worked out from: columns of one table."""

    activated_on: DateValue
    terminated_on: DateValue
    discount_percent: NumericColumn
    active_days: IntegerValue
    priced_days: NumericColumn
    first_price: NumericColumn


def _terms(rows: Table, price: NumericColumn | None = None) -> _Terms:
    """The terms as they stand in `rows`; `price` stands in for first_price."""
    return _Terms(
        activated_on=rows.activated_on,
        terminated_on=rows.terminated_on,
        discount_percent=rows.discount_percent,
        active_days=rows.active_days,
        priced_days=rows.priced_days,
        first_price=rows.first_price if price is None else price,
    )


def _amount(terms: _Terms, convention: Proration, period: Period) -> NumericColumn:
    """The month under one convention, discounted, rounded once. 0 for a service without an active day."""
    factor = ibis.literal(_NO_DISCOUNT, "int64") - whole_millionths(terms.discount_percent)
    month = ibis.literal(period.days, "int64")
    if convention is Proration.ACTUAL_DAYS:
        priced, days = terms.priced_days, month
    elif convention is Proration.THIRTIETHS:
        priced, days = terms.priced_days, ibis.ifelse(terms.active_days == period.days, month, 30)
    else:
        priced, days = terms.first_price, ibis.literal(1, "int64")
    # Most months are whole, at one price with at most two decimals and no discount: nothing to divide or round. Engines
    # work out a case only for the rows that come to it, and the division takes 20 times as long as these questions.
    plain = (
        (terms.discount_percent == 0)
        & (terms.first_price.cast("decimal(18, 2)") == terms.first_price)
        & (terms.active_days == period.days)
        & (priced == terms.first_price.cast(WIDE) * days)
    )
    discounted = round_ratio(whole_millionths(priced) * factor, days.cast("decimal(38, 0)") * _UNITS)
    return ibis.cases(
        (_unpaid(terms, convention, period), _NOTHING), (plain, terms.first_price.cast(MONEY)), else_=discounted
    )


def _unpaid(terms: _Terms, convention: Proration, period: Period) -> BooleanValue:
    """Months that cost nothing: without a day of service, or by contract the one in which the service ends."""
    unpaid = terms.active_days == 0
    if convention is Proration.FULL_START_MONTH:
        ends = terms.terminated_on.notnull() & (terms.terminated_on <= period.last_day)
        unpaid = unpaid | (ends & (terms.activated_on < period.first_day))
    return unpaid
