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
from billing_pipeline.steps.readings import Reading, Rows


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows of a partition's documents: read = loaded + rejected; the superseded ones are among the rejected."""

    files: int
    read: int
    rejected: int
    superseded: int


class RowCount:
    """Counts the rows of a partition's documents as they pass by, one document after the other."""

    def __init__(self) -> None:
        self._files = self._read = self._rejected = self._superseded = 0

    def passing(self, reading: Reading, rows: Iterator[Rows]) -> Iterator[Rows]:
        """The same rows, counted; holds identity 1: the rows of the document are loaded or rejected, none is neither.

        A row's rejections are all in one batch, so that distinct rows can be counted batch by batch.
        """
        loaded = rejected = 0
        for batch in rows:
            loaded += batch.lines.num_rows
            rejected += _distinct(batch.rejected)
            self._superseded += _distinct(
                batch.rejected.filter(pc.equal(batch.rejected.column("check_name"), SUPERSEDED))
            )
            yield batch
        if loaded + rejected != reading.rows_read:
            raise IdentityViolation(
                f"{reading.document.name}: {reading.rows_read} rows in the document, {loaded} to load and {rejected} "
                "rejected; nothing was replaced"
            )
        self._files += 1
        self._read += reading.rows_read
        self._rejected += rejected

    @property
    def counts(self) -> RowCounts:
        return RowCounts(self._files, self._read, self._rejected, self._superseded)


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


def _distinct(rejected: pa.RecordBatch) -> int:
    """Distinct rows among rejections: one row may break several rules."""
    found: int = pc.count_distinct(rejected.column("source_row")).as_py()
    return found
