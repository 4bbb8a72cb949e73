"""Which month a line's amount belongs to. A line's shares always add up to the line; verdicts are taken elsewhere."""

import ibis
from ibis.expr.types import DateColumn, IntegerColumn, NumericColumn, Table

from billing_pipeline.money import round_ratio
from billing_pipeline.periods import Period
from billing_pipeline.reconciliation import service_days
from billing_pipeline.reconciliation.content import MONEY, as_content
from billing_pipeline.schemas.tables import LINE_ALLOCATIONS


def allocate(lines: Table) -> Table:
    """One row per line and calendar month it has service days in.

    `lines` has the columns of INVOICE_LINES with `period`, its invoice's. Returns the content of LINE_ALLOCATIONS
    plus `period`; amounts are in the line's own currencies, a null invoicing amount stays null in every share.
    """
    dated = service_days.states_days(lines)
    first_month = lines.service_from.strftime("%Y-%m")
    spanning = dated & (first_month != lines.service_to.strftime("%Y-%m"))
    within = lines.filter(~spanning).mutate(
        service_month=ibis.ifelse(dated, first_month, service_days.month_of(lines)),
        days=ibis.ifelse(
            dated,
            service_days.days_between(lines.service_from, lines.service_to),
            service_days.length(service_days.month_of(lines)),
        ),
        amount_ht=lines.total_ht,
    )
    shares = as_content(within, LINE_ALLOCATIONS, "period")
    several = lines.filter(spanning)
    several = several.mutate(first_index=_index(several.service_from), last_index=_index(several.service_to))
    ends = several.aggregate(
        first=several.service_from.min(),
        last=several.service_to.max(),
        longest=(several.last_index - several.first_index).max(),
    )
    (found,) = ends.to_pyarrow().to_pylist()
    if found["first"] is None:
        return shares
    months = _calendar(Period.of(found["first"]), Period.of(found["last"]))
    rows = _spread(several, months, found["longest"])
    return shares.union(as_content(rows, LINE_ALLOCATIONS, "period"))


def _index(day: DateColumn) -> IntegerColumn:
    """The day's month, counted from year 0."""
    return day.year().cast("int64") * 12 + day.month().cast("int64") - 1


def _calendar(first: Period, last: Period) -> Table:
    months = [
        {
            "service_month": str(month), "month_start": month.first_day, "month_end": month.last_day,
            "month_index": month.year * 12 + month.month - 1,
        }
        for month in first.through(last)
    ]  # fmt: skip
    return ibis.memtable(
        months, schema={"service_month": "string", "month_start": "date", "month_end": "date", "month_index": "int64"}
    )


def _spread(lines: Table, months: Table, longest: int) -> Table:
    """Lines over several months, one row per month, the total spread by cumulative rounding in month order.

    A line's months are counted from its own first one, `longest` being the most there are besides it: a calendar from
    the earliest line to the latest has 120 000 months once a year is mistyped, and is met by equality only.
    """
    closing = months.select(last_index="month_index", last_end="month_end")
    placed = lines.inner_join(closing, "last_index")
    steps = ibis.memtable([{"step": step} for step in range(longest + 1)], schema={"step": "int64"})
    placed = placed.inner_join(steps, steps.step <= placed.last_index - placed.first_index)
    placed = placed.mutate(month_index=placed.first_index + placed.step)
    rows = placed.inner_join(months, "month_index")
    rows = rows.mutate(
        whole_months=(rows.service_from.day() == 1) & (rows.service_to == rows.last_end),
        is_last=rows.month_index == rows.last_index,
        days_before=ibis.greatest(rows.month_start.delta(rows.service_from, unit="day"), 0),
        days_through=service_days.days_between(rows.service_from, ibis.least(rows.service_to, rows.month_end)),
        total_days=service_days.days_between(rows.service_from, rows.service_to),
        months_before=rows.month_index - rows.first_index,
        total_months=rows.last_index - rows.first_index + 1,
    )
    rows = rows.mutate(
        days=rows.days_through - rows.days_before,
        weight_before=ibis.ifelse(rows.whole_months, rows.months_before, rows.days_before),
        weight_through=ibis.ifelse(rows.whole_months, rows.months_before + 1, rows.days_through),
        weight=ibis.ifelse(rows.whole_months, rows.total_months, rows.total_days),
    )
    return rows.mutate(
        amount_ht=_share(rows, rows.total_ht),
        invoicing_amount=_share(rows, rows.invoicing_amount),
    )


def _share(rows: Table, total: NumericColumn) -> NumericColumn:
    """What is due up to this month less what was due before it; the last month takes the unrounded rest."""

    def due(weight: NumericColumn) -> NumericColumn:
        # total < 1e18 millionths, weight < 3 720 days (the longest span is 120 months): 3.8e21, far below 1e38.
        return round_ratio(total.cast("decimal(38, 6)") * weight, rows.weight)

    through = ibis.ifelse(rows.is_last, total.cast(MONEY), due(rows.weight_through))
    return through - ibis.ifelse(rows.days_before == 0, ibis.literal(0, MONEY), due(rows.weight_before))
