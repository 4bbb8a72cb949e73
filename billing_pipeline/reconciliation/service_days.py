"""Which days a line is for, and how long months are. No amounts here."""

import ibis
from ibis.expr.types import BooleanColumn, DateColumn, IntegerColumn, StringColumn, Table


def states_days(lines: Table) -> BooleanColumn:
    """Whether the line states both its first and its last service day; one of them alone says nothing."""
    return lines.service_from.notnull() & lines.service_to.notnull()


def month_of(lines: Table) -> StringColumn:
    """For a line that states no days, the month it is for (YYYY-MM): its charge month, else its invoice's period."""
    return ibis.coalesce(lines.charge_month, lines.period)


def length(month: StringColumn) -> IntegerColumn:
    """Days of a month written YYYY-MM, 28 to 31."""
    year = month.substr(0, 4).cast("int64")
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    number = month.substr(5, 2)
    return ibis.cases(
        (number == "02", ibis.ifelse(leap, 29, 28)),
        (number.isin(["04", "06", "09", "11"]), 30),
        else_=31,
    ).cast("int64")


def with_service_days(lines: Table) -> Table:
    """`lines` with `first_service_day` and `last_service_day`, both included, and `dated`: whether it states them."""
    month = month_of(lines)
    start, end = (month + "-01").cast("date"), (month + "-" + length(month).cast("string")).cast("date")
    dated = states_days(lines)
    return lines.mutate(
        dated=dated,
        first_service_day=ibis.ifelse(dated, lines.service_from, start),
        last_service_day=ibis.ifelse(dated, lines.service_to, end),
    )


def days_between(first: DateColumn, last: DateColumn) -> IntegerColumn:
    """Days from `first` to `last`, both counted; 0 or less when `last` is before `first`."""
    return last.delta(first, unit="day") + 1
