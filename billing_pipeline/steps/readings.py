"""A partition's documents once read: lines and rejected rows per document, ready to be put together. Decides nothing.

Charge files are read once, batch by batch, into Parquet in a scratch folder, so that memory does not grow with them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from billing_pipeline.config import Operator
from billing_pipeline.errors import RefusedFile
from billing_pipeline.normalize.netwo_invoices import read_invoice, read_listing
from billing_pipeline.normalize.r189_lines import LINES, lines_of
from billing_pipeline.r189.reader import R189File
from billing_pipeline.r189.superseded import SUPERSEDED, superseded_rows
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.tables import INVOICES, R189_CHARGES, REJECTED_ROWS
from billing_pipeline.sources.collection import Kept, Role
from billing_pipeline.steps.file_periods import count_months

REJECTED = content_schema(REJECTED_ROWS)
CHARGES = content_schema(R189_CHARGES)
# invoice_id → why it does not count here, in words for the rejected row
Superseded = Mapping[str, str]


class Reading(Protocol):
    """One document's rows. `invoices` counts the rows, rejected ones included, of each invoice it holds."""

    document: Kept
    rows_read: int
    invoices: Counter[str]
    gaps: list[str]
    profile: str | None

    def lines(self, superseded: Superseded) -> Iterator[pa.RecordBatch]:
        """The loaded lines but for those of superseded invoices, in the content columns of `invoice_lines`."""
        ...

    def rejected(self, superseded: Superseded) -> Iterator[pa.RecordBatch]:
        """The rejected rows and, under the check `superseded`, every row of a superseded invoice."""
        ...


class ChargeFile:
    """An R189 file. RefusedFile when it cannot be read with certainty."""

    def __init__(self, document: Kept, path: Path, operator: Operator, scratch: Path) -> None:
        self.document = document
        self.gaps: list[str] = []
        self.invoices: Counter[str] = Counter()
        self.charge_months: Counter[str] = Counter()
        self.rows_read = 0
        self.path = scratch / f"{document.sha256}.charges.parquet"
        self._rejected_path = scratch / f"{document.sha256}.rejected.parquet"
        self._file = R189File(path, operator.profile, name=document.name, sha256=document.sha256)
        self._read()
        self.profile: str | None = self._file.profile.to_json()

    def _read(self) -> None:
        writer: pq.ParquetWriter | None = None
        with pq.ParquetWriter(self._rejected_path, REJECTED) as rejected:
            for batch in self._file.batches():
                if writer is None:
                    writer = pq.ParquetWriter(self.path, batch.charges.schema)
                self.rows_read += batch.rows
                writer.write_batch(batch.charges)
                rejected.write_batch(batch.rejected)
                _count(self.invoices, pc.utf8_trim_whitespace(batch.charges.column("invoice_number")))
                _count(self.invoices, _one_per_row(batch.rejected))
                count_months(self.charge_months, batch.charges)
        if writer is not None:
            writer.close()

    def charges(self, superseded: Superseded) -> Iterator[pa.RecordBatch]:
        """The loaded rows with all 50 columns and the two mapped ones, but for those of superseded invoices."""
        if not self.path.exists():
            return
        for batch in pq.ParquetFile(self.path).iter_batches():
            yield batch.filter(pc.invert(_among(pc.utf8_trim_whitespace(batch.column("invoice_number")), superseded)))

    def lines(self, superseded: Superseded) -> Iterator[pa.RecordBatch]:
        for batch in self.charges(superseded):
            yield lines_of(batch)

    def rejected(self, superseded: Superseded) -> Iterator[pa.RecordBatch]:
        for batch in pq.ParquetFile(self._rejected_path).iter_batches():
            yield batch.filter(pc.invert(_among(batch.column("invoice_id"), superseded)))
        if superseded:
            yield from superseded_rows(self._file, superseded)


class HubInvoice:
    """One invoice of the billing hub, `entry` being what the hub's list says of it."""

    def __init__(self, document: Kept, path: Path, operator: Operator, entry: dict[str, Any]) -> None:
        self.document = document
        rows = read_invoice(
            path.read_bytes(),
            location=document.location,
            sha256=document.sha256,
            entry=entry,
            profile=operator.profile,
        )
        self.gaps = rows.gaps
        self.rows_read = rows.rows_read
        self.profile: str | None = None
        self.invoice = rows.invoices[0]
        self.invoices = Counter({self.invoice["invoice_id"]: rows.rows_read})
        self._lines = rows.lines
        self._rejected = rows.rejected

    def lines(self, superseded: Superseded) -> Iterator[pa.RecordBatch]:
        if self.invoice["invoice_id"] not in superseded:
            yield _batch(self._lines, LINES)

    def rejected(self, superseded: Superseded) -> Iterator[pa.RecordBatch]:
        message = superseded.get(self.invoice["invoice_id"])
        if message is None:
            yield _batch(self._rejected, REJECTED)
            return
        rows = {row["source_row"]: row.get("raw") for row in (*self._lines, *self._rejected)}
        yield _batch(
            [
                {
                    "source_sha256": self.document.sha256, "source_row": row, "column_name": "", "raw": raw,
                    "check_name": SUPERSEDED, "message": message, "invoice_id": self.invoice["invoice_id"],
                }
                for row, raw in sorted(rows.items())
            ],
            REJECTED,
        )  # fmt: skip


@dataclass(slots=True)
class Documents:
    """All documents of one collection, oldest first, and what could not be read of them."""

    readings: list[Reading] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    @property
    def charge_files(self) -> list[ChargeFile]:
        return [reading for reading in self.readings if isinstance(reading, ChargeFile)]

    def hub_invoices(self, counts: Callable[[str, str], bool]) -> pa.Table:
        """The hub's invoices in the content columns of `invoices`; `counts` says of (sha256, invoice_id) whether it does."""
        rows = [
            reading.invoice
            for reading in self.readings
            if isinstance(reading, HubInvoice) and counts(reading.document.sha256, reading.invoice["invoice_id"])
        ]
        return pa.Table.from_pylist(rows, schema=content_schema(INVOICES))


def read_documents(
    documents: list[Kept], path_of: Callable[[str], Path], operator: Operator, scratch: Path
) -> Documents:
    """Read every document of a collection; a refused one is a gap and brings no rows."""
    found = Documents()
    pages = {one.location: path_of(one.sha256).read_bytes() for one in documents if one.role is Role.NETWO_LISTING}
    entries = read_listing(pages)
    for document in documents:
        try:
            path = path_of(document.sha256)
            if document.role is Role.R189_CHARGES:
                found.readings.append(ChargeFile(document, path, operator, scratch))
            elif document.role is Role.NETWO_INVOICE:
                found.readings.append(HubInvoice(document, path, operator, entries[document.name]))
        except RefusedFile as refusal:
            found.gaps.append(str(refusal))
    found.gaps.extend(gap for reading in found.readings for gap in reading.gaps)
    return found


def _count(counter: Counter[str], values: pa.Array) -> None:
    for one in pc.value_counts(values.drop_null()).to_pylist():
        counter[one["values"]] += one["counts"]


def _one_per_row(rejected: pa.RecordBatch) -> pa.Array:
    """The invoice number of each rejected row once, however many rules the row breaks."""
    table = pa.Table.from_batches([rejected.select(["source_row", "invoice_id"])])
    return table.group_by(["source_row", "invoice_id"]).aggregate([])["invoice_id"].combine_chunks()


def _among(values: pa.Array, superseded: Superseded) -> pa.Array:
    return pc.is_in(values, pa.array(list(superseded), pa.string()))


def _batch(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=schema)
