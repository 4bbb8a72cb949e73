"""Why a service is billed otherwise than expected: the reasons of a DISCREPANCY, in the contract's order.

Takes the few services whose amounts differ; each step takes its part of the difference, and the parts add up to it to
the cent. What was expected is priced in expect.py.
"""

import ibis
from ibis.expr.types import BooleanValue, Table

from billing_pipeline.config import Proration, ReconciliationRules
from billing_pipeline.money import round_ratio, whole_cents, whole_millionths
from billing_pipeline.periods import Period
from billing_pipeline.reconciliation import details, expect
from billing_pipeline.reconciliation.content import MONEY, NO_TEXT
from billing_pipeline.reconciliation.duplicates import duplicates
from billing_pipeline.reconciliation.keep import keep
from billing_pipeline.reconciliation.match import LINE_KEY, comparable
from billing_pipeline.reconciliation.service_days import with_service_days

REASONS = (
    "DUPLICATE_LINE", "BILLED_AFTER_TERMINATION", "BILLED_BEFORE_ACTIVATION", "PRORATION", "STALE_PRICE",
    "DISCOUNT_MISSING", "ROUNDING", "PRICE_MISMATCH", "UNEXPLAINED",
)  # fmt: skip
_NOTHING = ibis.literal(0, MONEY)


def decompose(
    discrepancies: Table,
    native: Table,
    lines: Table,
    services: Table,
    prices: Table,
    period: Period,
    rules: ReconciliationRules,
) -> Table:
    """The reasons of `discrepancies` (rows of verdict.compare): service_id, reason_code, amount, note.

    `native`: the shares they were compared by; `lines`: INVOICE_LINES with period. Amounts are in the contract's
    currency, none is 0, and a service's add up to its difference.
    """
    concerned = keep(services.semi_join(discrepancies, "service_id"))
    billed_lines = keep(_billed_lines(discrepancies, native, lines))
    facts = keep(_facts(discrepancies, billed_lines, concerned, prices, period, rules.proration))
    fitting = _fitting_price(facts, concerned, prices, period, rules.proration)
    facts = facts.left_join(fitting, "service_id").select(facts, fitting_price=fitting.price)
    return _in_order(facts, period, rules.proration)


def weightiest(reasons: Table) -> Table:
    """Per service the reason with the largest absolute amount, ties in their order: service_id, reason_code."""
    position = ibis.cases(
        *[(reasons.reason_code == code, index) for index, code in enumerate(REASONS)], else_=len(REASONS)
    )
    order = ibis.window(group_by=reasons.service_id, order_by=[reasons.amount.abs().desc(), position.asc()])
    ranked = reasons.mutate(rank=ibis.row_number().over(order))
    return ranked.filter(ranked.rank == 0).select("service_id", "reason_code")


def _billed_lines(discrepancies: Table, native: Table, lines: Table) -> Table:
    """The lines behind the differences, each with its service days, its whole amount and its share of the month."""
    shares = native.semi_join(discrepancies, "service_id")
    shares = shares.select(*LINE_KEY, "service_id", "converted", share=shares.amount)
    rows = with_service_days(shares.inner_join(lines.drop("service_id"), LINE_KEY))
    return rows.select(
        "service_id",
        "invoice_id",
        "line_id",
        "share",
        "dated",
        "first_service_day",
        "last_service_day",
        line_amount=ibis.ifelse(rows.converted, rows.invoicing_amount, rows.total_ht),
        wording=ibis.coalesce(comparable(rows.description), ""),
    )


def _billed_days(billed_lines: Table, period: Period) -> Table:
    """Per service the first and last day its positive dated lines bill, and whether one of them names only a month."""
    charges = billed_lines.filter(billed_lines.line_amount > 0)
    first = ibis.greatest(charges.first_service_day, ibis.literal(period.first_day))
    last = ibis.least(charges.last_service_day, ibis.literal(period.last_day))
    return charges.group_by("service_id").aggregate(
        first_billed=first.min(where=charges.dated),
        last_billed=last.max(where=charges.dated),
        month_dated=(~charges.dated).any(),
    )


def _facts(
    discrepancies: Table, billed_lines: Table, services: Table, prices: Table, period: Period, ours: Proration
) -> Table:
    """One row per service with all that the steps look at; `due` is B', what is billed besides duplicates."""
    # A line alone is neither billed twice nor taken back; most are, and ranking them would cost as much as all the rest.
    together = billed_lines.semi_join(discrepancies.filter(discrepancies.line_count > 1), "service_id")
    twice, days = duplicates(keep(together)), _billed_days(billed_lines, period)
    priced = expect.alternatives(services, prices, period, ours, _others(ours))
    rows = (
        discrepancies.select("service_id", "expected", "billed", "difference", "tolerance", "line_count")
        .inner_join(priced, "service_id")
        .left_join(twice, "service_id").drop("service_id_right")
        .left_join(days, "service_id").drop("service_id_right")
    )  # fmt: skip
    duplicated = ibis.coalesce(rows.duplicate_amount.cast(MONEY), _NOTHING)
    return rows.mutate(
        duplicate_amount=duplicated,
        due=rows.billed - duplicated,
        other_lines=rows.line_count - ibis.coalesce(rows.lines_aside, 0),
    )


def _others(ours: Proration) -> list[Proration]:
    return [convention for convention in Proration if convention is not ours]


def _outside_life(facts: Table, period: Period) -> tuple[BooleanValue, BooleanValue]:
    """Whether a day after the last, or before the first, day of service is billed.

    A line that names only a month bills the active days, unless the full month's amount shows that it bills all of it.
    """
    near_full = (facts.due - facts.whole_month).abs() <= facts.tolerance
    all_month = ibis.coalesce(facts.month_dated, False) & near_full
    after = all_month & (facts.terminated_on < period.last_day) | (facts.last_billed > facts.terminated_on)
    before = all_month & (facts.activated_on > period.first_day) | (facts.first_billed < facts.activated_on)
    return ibis.coalesce(after, False), ibis.coalesce(before, False)


def _fitting_price(facts: Table, services: Table, prices: Table, period: Period, ours: Proration) -> Table:
    """Per service the lowest price of its history that, in force throughout, gives what is billed, not what is due."""
    priced = expect.at_each_price(services, prices, period, ours)
    rows = priced.inner_join(facts.select("service_id", "expected", "due", "tolerance"), "service_id")
    fits = (rows.due - rows.amount).abs() <= rows.tolerance
    differs = (rows.amount - rows.expected).abs() > rows.tolerance
    return rows.filter(fits & differs).group_by("service_id").aggregate(price=rows.price.min())


def _in_order(facts: Table, period: Period, ours: Proration) -> Table:
    """Steps 1 to 6: what each takes of the difference, as rows."""
    after, before = _outside_life(facts, period)
    ratio = round_ratio(
        whole_millionths(facts.due) * whole_cents(facts.expected), whole_cents(facts.whole_month) * 10**6
    )
    left = facts["difference"] - facts.duplicate_amount
    # Only where days outside are billed is there anything to divide; a full month that costs nothing leaves nothing due.
    outside = facts.due - ibis.ifelse(facts.whole_month == 0, _NOTHING, ratio)
    taken = ibis.ifelse((after | before) & (left.abs() > facts.tolerance), outside, _NOTHING)
    steps = facts.mutate(left=left, after=after, before=before, taken=taken, convention=_other_convention(facts, ours))
    steps = keep(steps.mutate(rest=steps.left - steps.taken))
    open_ = steps.rest.abs() > steps.tolerance
    partial = (steps.active_days < period.days) & ~(steps.after | steps.before)
    undiscounted = (steps.discount_percent > 0) & ((steps.due - steps.without_discount).abs() <= steps.tolerance)
    code = ibis.cases(
        (~open_, "ROUNDING"),
        (partial & steps.convention.notnull(), "PRORATION"),
        (steps.fitting_price.notnull(), "STALE_PRICE"),
        (undiscounted, "DISCOUNT_MISSING"),
        (steps.other_lines == 1, "PRICE_MISMATCH"),
        else_="UNEXPLAINED",
    )
    note = ibis.cases(
        (code == "PRORATION", steps.convention),
        (code == "STALE_PRICE", details.plain(steps.fitting_price)),
        else_=NO_TEXT,
    )
    outside_code = ibis.ifelse(steps.after, "BILLED_AFTER_TERMINATION", "BILLED_BEFORE_ACTIVATION")
    parts = (
        steps.select("service_id", reason_code=ibis.literal("DUPLICATE_LINE"), amount="duplicate_amount", note=NO_TEXT),
        steps.select("service_id", reason_code=outside_code, amount="taken", note=NO_TEXT),
        steps.select("service_id", reason_code=code, amount="rest", note=note),
    )
    reasons = ibis.union(*[part.mutate(amount=part.amount.cast(MONEY)) for part in parts])
    return keep(reasons.filter(reasons.amount != 0))


def _other_convention(facts: Table, ours: Proration) -> ibis.Value:
    """The first other convention that gives what is billed and not what is due; null where none does."""

    def fits(convention: Proration) -> BooleanValue:
        amount = facts[convention.lower()]
        differs = (amount - facts.expected).abs() > facts.tolerance
        return differs & ((facts.due - amount).abs() <= facts.tolerance)

    return ibis.cases(*[(fits(other), other.value) for other in _others(ours)], else_=NO_TEXT)
