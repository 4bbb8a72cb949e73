"""Which lines of a service are billed twice, and which are taken back by a credit. No expectation enters here.

A credit nets one line of its days and absolute amount. Taken in turn, credits first wear down the groups of equal
lines, in the order of their lowest line, to one line each, then net what stands alone; since only counts matter, the
turns are running sums.
"""

import ibis
from ibis.expr.types import Table

_SLOT = ("service_id", "first_service_day", "last_service_day", "line_amount")


def duplicates(billed_lines: Table) -> Table:
    """Per service with positive lines: `duplicate_amount`, and `lines_aside`, the lines no longer to be explained.

    `billed_lines`: service_id, invoice_id, line_id, first_service_day, last_service_day, line_amount, wording, share.
    Lines aside are the duplicates and both lines of every netted pair. Amounts are in the contract's currency.
    """
    groups = _groups(billed_lines)
    credits = _credits(billed_lines)
    order = ibis.window(
        group_by=[groups[name] for name in _SLOT],
        order_by=[groups.invoice_id, groups.line_id],
        preceding=None,
        following=0,
    )
    groups = groups.mutate(excess_so_far=groups.excess.sum().over(order))
    rows = groups.left_join(credits, _SLOT).select(groups, credits=ibis.coalesce(credits.credits, 0))
    # What the credits leave after the groups before this one.
    available = ibis.greatest(rows.credits - (rows.excess_so_far - rows.excess), 0)
    rows = rows.mutate(left_twice=rows.excess - ibis.least(available, rows.excess))
    slots = rows.group_by(_SLOT).aggregate(
        duplicate_amount=(rows.share * rows.left_twice).sum(),
        duplicate_lines=rows.left_twice.sum(),
        lines=rows.excess.sum() + rows.count(),
        credits=rows.credits.max(),
    )
    netted = ibis.least(slots.credits, slots.lines)
    return slots.group_by("service_id").aggregate(
        duplicate_amount=slots.duplicate_amount.sum(),
        lines_aside=(slots.duplicate_lines + netted * 2).sum(),
    )


def _groups(billed_lines: Table) -> Table:
    """Positive lines that are equal, as their lowest line with `excess`, the number of the others.

    Equal amount and days make equal shares of any month, so the lowest line's share stands for each.
    """
    charges = billed_lines.filter(billed_lines.line_amount > 0)
    same = [charges[name] for name in (*_SLOT, "wording")]
    ranked = charges.mutate(
        rank=ibis.row_number().over(group_by=same, order_by=[charges.invoice_id, charges.line_id]),
        excess=charges.count().over(group_by=same) - 1,
    )
    return ranked.filter(ranked.rank == 0).select(*_SLOT, "invoice_id", "line_id", "share", "excess")


def _credits(billed_lines: Table) -> Table:
    credits = billed_lines.filter(billed_lines.line_amount < 0)
    credits = credits.mutate(line_amount=-credits.line_amount)
    return credits.group_by(_SLOT).aggregate(credits=credits.count())
