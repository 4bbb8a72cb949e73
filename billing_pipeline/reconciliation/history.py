"""What late knowledge changed: a month's verdicts beside those they replace. Decides nothing about either.

A month that is judged for the first time has no history, and an item whose status, reason and amounts stayed has none.
"""

import ibis
from ibis.expr.types import Table

from billing_pipeline.reconciliation.content import NO_TEXT
from billing_pipeline.reconciliation.keep import keep
from billing_pipeline.reconciliation.match import qualified

_COMPARED = ("status", "reason_code", "service_amount", "invoice_amount", "difference", "currency")


def changes(before: Table, after: Table, lines: Table, new_documents: Table, holders: Table) -> Table:
    """Items that differ: item_id, each compared column `_before` and `_after` (null where there was or is no such item),
    and `documents`.

    `before`, `after`: content of RECONCILIATION_ITEMS; `lines`: INVOICE_LINES of the invoices now loaded;
    `new_documents`: sha256 of what was received since `before` was computed for this month; `holders`: invoice_id and
    sha256 of every document received since, of any month, that holds the invoice. The documents of a change are the new
    ones among those that brought the item's lines, those of the lines it gained, and the holders of the invoices of the
    lines it lost; where that names none (another inventory, a line withdrawn), every new one. None at all: the contract's
    terms or our rules changed.
    """
    changed = keep(_changed(before, after))
    told = _documents(changed, lines, new_documents).union(_took_over(changed, holders)).distinct()
    named = told.group_by("item_id").aggregate(documents=told.sha256.collect())
    every = new_documents.aggregate(every=new_documents.sha256.collect(distinct=True))
    rows = changed.left_join(named, "item_id").select(changed, documents=named.documents)
    rows = rows.cross_join(every)
    nothing = ibis.literal([], type="array<string>")
    rows = rows.mutate(documents=ibis.coalesce(rows.documents, rows.every, nothing).sort())
    return rows.drop("lines_before", "lines_after", "every")


def _changed(before: Table, after: Table) -> Table:
    joined = before.outer_join(after, before.item_id == after.item_id)
    same = ibis.and_(
        before.item_id.identical_to(after.item_id),
        *[before[name].identical_to(after[name]) for name in _COMPARED],
    )
    return joined.filter(~same).select(
        item_id=ibis.coalesce(before.item_id, after.item_id),
        **{f"{name}_before": before[name] for name in _COMPARED},
        **{f"{name}_after": after[name] for name in _COMPARED},
        lines_before=before.invoice_line_ids,
        lines_after=after.invoice_line_ids,
    )


def _documents(changed: Table, lines: Table, new_documents: Table) -> Table:
    """The new documents among those of an item's lines, and those of the lines it gained: item_id, sha256."""
    held = changed.select("item_id", line=changed.lines_before.unnest(), gained=ibis.literal(False))
    holds = changed.select("item_id", line=changed.lines_after.unnest(), gained=ibis.literal(True))
    both = held.union(holds)
    of_line = both.group_by("item_id", "line").aggregate(gained=both.gained.all())
    sources = lines.select(line=qualified(lines), sha256=lines.source_sha256)
    brought = of_line.inner_join(sources, "line").select(of_line, sources.sha256)
    fresh = new_documents.select("sha256", fresh=ibis.literal("yes"))
    rows = brought.left_join(fresh, "sha256").select(brought, fresh=ibis.coalesce(fresh.fresh, NO_TEXT))
    return rows.filter(rows.gained | rows.fresh.notnull()).select("item_id", "sha256")


def _took_over(changed: Table, holders: Table) -> Table:
    """The documents received since that hold an invoice of which an item lost a line: item_id, sha256.

    A copy that counts before ours takes an invoice's lines along to its own month (normalize/ownership.py).
    """
    held = changed.select("item_id", line=changed.lines_before.unnest())
    holds = changed.select("item_id", line=changed.lines_after.unnest())
    # Kept, since Ibis 12 cannot join what an anti-join has left to a further table.
    lost = keep(held.anti_join(holds, ["item_id", "line"]))
    lost = lost.mutate(invoice_id=lost.line.re_replace(":[^:]*$", ""))
    return lost.inner_join(holders, "invoice_id").select("item_id", "sha256")
