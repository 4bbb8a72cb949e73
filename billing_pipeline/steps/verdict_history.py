"""The rows of `reconciliation_history` a new verdict adds to those that stand, and which documents explain them.

What counts as a change is reconciliation/history.py's.
"""

from collections.abc import Callable, Sequence
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc
from ibis.expr.types import Table

from billing_pipeline.periods import Period
from billing_pipeline.reconciliation.history import changes
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.tables import RECONCILIATION_HISTORY, RECONCILIATION_ITEMS
from billing_pipeline.steps.load import COLLECT_PHASE, EVALUATED
from billing_pipeline.storage.ledger import PartitionLoad
from billing_pipeline.storage.replacement import PartitionWork

Read = Callable[[str, list[str]], Table]
_HOLDERS = pa.schema([("invoice_id", pa.string()), ("sha256", pa.string())])


def verdict_history(
    work: PartitionWork,
    connection: Any,
    read: Read,
    period: Period,
    invoice_periods: Sequence[str],
    items: Table,
    lines: Table,
    before: PartitionLoad | None,
) -> pa.Table:
    """The month's history as it stands, and what `items` change in those they replace.

    `before`: what the ledger says of the verdicts that are replaced, null where none are; `lines`: INVOICE_LINES of
    `invoice_periods`, those with shares in the month. PostgreSQL is asked for what stood: unlike every other table this
    one rests on nothing that could be read again.
    """
    schema = content_schema(RECONCILIATION_HISTORY)
    stood = work.read("reconciliation_history", [str(period)], columns=schema.names).cast(schema)
    if before is None or before.state != EVALUATED:
        return stood
    replaced = work.read("reconciliation_items", [str(period)], columns=content_schema(RECONCILIATION_ITEMS).names)
    received = read("source_documents", sorted({str(period), *invoice_periods}))
    received = received.filter(received.fetched_at > ibis.literal(before.loaded_at)).select("sha256").distinct()
    old = connection.create_table("replaced_items", _nullable(replaced), temp=True)
    holders = connection.create_table("holders", _holders(work, before), temp=True)
    changed = changes(old, items, lines, received, holders)
    changed = changed.mutate(changed_at=ibis.literal(work.loaded_at), changed_by_run=ibis.literal(work.run_id))
    found = changed.order_by("item_id").to_pyarrow().select(schema.names).cast(schema)
    # In one piece: from a table with an empty chunk before others pyarrow's CSV writer wrote 600 KB of NUL bytes.
    return pa.concat_tables([stood, found]).combine_chunks()


def _holders(work: PartitionWork, before: PartitionLoad) -> pa.Table:
    """Invoices and the documents that hold them, of documents received since, whichever partition they belong to.

    A document of another month may take an invoice over without a share in this one: then nothing else names it.
    """
    newer = [load.period for load in work.loads(COLLECT_PHASE) if load.loaded_at > before.loaded_at]
    if not newer:
        return _HOLDERS.empty_table()
    documents = work.read("source_documents", newer, columns=["sha256", "fetched_at"])
    fresh = documents.filter(pc.greater(documents["fetched_at"], pa.scalar(before.loaded_at)))["sha256"]
    held = work.read("invoice_documents", newer, columns=["invoice_id", "source_sha256"])
    held = held.filter(pc.is_in(held["source_sha256"], pc.unique(fresh)))
    return held.select(["invoice_id", "source_sha256"]).rename_columns(_HOLDERS.names).cast(_HOLDERS)


def _nullable(rows: pa.Table) -> pa.Table:
    return rows.cast(pa.schema([field.with_nullable(True) for field in rows.schema]))
