"""How many rows came and how many could not be read, and whether that is too many for a verdict."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.errors import IdentityViolation
from billing_pipeline.money import divide_half_up
from billing_pipeline.normalize.ownership import Holding
from billing_pipeline.r189.superseded import SUPERSEDED
from billing_pipeline.steps.readings import Documents


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows of a partition's documents: read = loaded + rejected; the superseded ones are among the rejected."""

    files: int
    read: int
    rejected: int
    superseded: int


def count_rows(documents: Documents, superseded: Mapping[str, Mapping[str, Holding]]) -> RowCounts:
    """Count, and hold identity 1: the rows of every document are loaded or rejected, none is both, none is neither."""
    rejected_in_all = superseded_in_all = read_in_all = 0
    for reading in documents.readings:
        reasons = supersession_messages(superseded.get(reading.document.sha256, {}))
        loaded = sum(batch.num_rows for batch in reading.lines(reasons))
        rejected, out = _rejected_rows(reading.rejected(reasons))
        if loaded + rejected != reading.rows_read:
            raise IdentityViolation(
                f"{reading.document.name}: {reading.rows_read} rows in the document, {loaded} to load and {rejected} "
                "rejected; nothing was replaced"
            )
        read_in_all += reading.rows_read
        rejected_in_all += rejected
        superseded_in_all += out
    return RowCounts(len(documents.readings), read_in_all, rejected_in_all, superseded_in_all)


def too_many_rejected(counts: RowCounts, limit: Decimal) -> Iterator[str]:
    """The gap, if more than `limit` of the rows cannot be read; superseded rows count on neither side."""
    read, rejected = counts.read - counts.superseded, counts.rejected - counts.superseded
    if read and Decimal(rejected) > limit * read:
        percent = divide_half_up(Decimal(100 * rejected), read)
        yield (
            f"{rejected} of {read} rows were rejected ({percent} %), more than max_rejected_ratio {limit} allows; "
            "see rejected_rows, and ask the operator for a corrected file"
        )


def supersession_messages(owners: Mapping[str, Holding]) -> dict[str, str]:
    """invoice_id → why its rows do not count in this document."""
    return {
        invoice_id: f"the invoice counts as in document {owner.sha256[:8]} of {owner.period}"
        for invoice_id, owner in owners.items()
    }


def _rejected_rows(batches: Iterator[pa.RecordBatch]) -> tuple[int, int]:
    """Distinct rows rejected, and how many of them are superseded."""
    rows: set[int] = set()
    superseded: set[int] = set()
    for batch in batches:
        rows.update(batch.column("source_row").to_pylist())
        out = batch.filter(pc.equal(batch.column("check_name"), SUPERSEDED))
        superseded.update(out.column("source_row").to_pylist())
    return len(rows), len(superseded)
