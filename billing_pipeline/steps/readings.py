"""A partition's documents once read: lines and rejected rows per document, ready to be put together. Decides nothing.

A charge file is surveyed when it is opened, unless it is to be read at once, and read batch by batch when its rows are
asked for: memory does not grow with it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from billing_pipeline.config import Operator
from billing_pipeline.errors import RefusedFile, one_line
from billing_pipeline.normalize.netwo_invoices import read_invoice, read_listing
from billing_pipeline.normalize.orange_bills import Bill, contradictions, listed_numbers, read_bill
from billing_pipeline.normalize.r189_lines import LINES, lines_of
from billing_pipeline.r189.at_once import ChargesAtOnce
from billing_pipeline.r189.reader import R189File
from billing_pipeline.r189.superseded import SUPERSEDED
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.tables import INVOICES, R189_CHARGES, REJECTED_ROWS
from billing_pipeline.sources.collection import Kept, Role

REJECTED = content_schema(REJECTED_ROWS)
CHARGES = content_schema(R189_CHARGES)
# invoice_id → why it does not count here, in words for the rejected row
Superseded = Mapping[str, str]
_CUT = "{name} ends within row {row}: it was cut short, or is still being written; have it delivered whole"


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows of a document: `lines` in the content columns of `invoice_lines`, `rejected` in those of
    `rejected_rows`, and for a charge file the `charges` the lines were made from, row by row.
    """

    lines: pa.RecordBatch
    rejected: pa.RecordBatch
    charges: pa.RecordBatch | None = None


class Reading(Protocol):
    """One document's rows. `invoices` counts the rows, rejected ones included, of each invoice it holds.

    Of a charge file that is read at once, what is counted and `profile` are known when its rows are exhausted.
    """

    document: Kept
    gaps: list[str]

    @property
    def rows_read(self) -> int: ...

    @property
    def invoices(self) -> Counter[str]: ...

    @property
    def profile(self) -> str | None: ...

    def rows(self, superseded: Superseded) -> Iterator[Rows]:
        """All rows, each once: as a line, or among the rejected; under `superseded` if its invoice is superseded."""
        ...


class ChargeFile:
    """An R189 file. RefusedFile when it cannot be read with certainty; NotBorneOut, from here or from `rows`, when it was
    to be read `at_once` and cannot.

    `charge_months` counts its sound rows by Charge Month and is known once `rows` was exhausted.
    """

    def __init__(self, document: Kept, path: Path, operator: Operator, *, at_once: bool = False) -> None:
        self.document = document
        kind = ChargesAtOnce if at_once else R189File
        self._file = kind(path, operator.profile, name=document.name, sha256=document.sha256)
        # Whatever the ratio of rejected rows: how many more would have followed is not known.
        self.gaps = [_CUT.format(name=document.name, row=self._file.rows)] if self._file.cut else []
        self.charge_months: Counter[str] = Counter()

    @property
    def rows_read(self) -> int:
        return self._file.rows

    @property
    def invoices(self) -> Counter[str]:
        return self._file.invoices

    @property
    def profile(self) -> str | None:
        return self._file.profile.to_json()

    def rows(self, superseded: Superseded) -> Iterator[Rows]:
        months: Counter[str] = Counter()
        for batch in self._file.batches(superseded=superseded):
            months.update(batch.month_votes())
            yield Rows(lines_of(batch.charges), batch.rejected, batch.charges)
        self.charge_months = months


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

    def rows(self, superseded: Superseded) -> Iterator[Rows]:
        message = superseded.get(self.invoice["invoice_id"])
        if message is None:
            yield Rows(_batch(self._lines, LINES), _batch(self._rejected, REJECTED))
            return
        rows = {row["source_row"]: row.get("raw") for row in (*self._lines, *self._rejected)}
        rejected = [
            {
                "source_sha256": self.document.sha256, "source_row": row, "column_name": "", "raw": raw,
                "check_name": SUPERSEDED, "message": message, "invoice_id": self.invoice["invoice_id"],
            }
            for row, raw in sorted(rows.items())
        ]  # fmt: skip
        yield Rows(_batch([], LINES), _batch(rejected, REJECTED))


@dataclass(slots=True)
class Documents:
    """All documents of one collection, oldest first, and what could not be read of them."""

    readings: list[Reading] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    bills: list[Bill] = field(default_factory=list)

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
    documents: list[Kept], path_of: Callable[[str], Path], operator: Operator, *, at_once: bool = False
) -> Documents:
    """Read every document of a collection; a refused one is a gap and brings no rows.

    `at_once`: the charge files are read while they are loaded. NotBorneOut where one cannot be; else, once their rows
    are exhausted, `add_bill_gaps` completes the result.
    """
    found = Documents()
    pages = {one.location: path_of(one.sha256).read_bytes() for one in documents if one.role is Role.NETWO_LISTING}
    entries = read_listing(pages)
    for document in documents:
        try:
            path = path_of(document.sha256)
            if document.role is Role.R189_CHARGES:
                found.readings.append(ChargeFile(document, path, operator, at_once=at_once))
            elif document.role is Role.NETWO_INVOICE:
                found.readings.append(HubInvoice(document, path, operator, entries[document.name]))
            elif document.role is Role.ORANGE_BILL:
                found.bills.append(read_bill(path.read_bytes(), name=one_line(document.name), sha256=document.sha256))
        except RefusedFile as refusal:
            found.gaps.append(str(refusal))
    found.gaps.extend(gap for reading in found.readings for gap in reading.gaps)
    if not at_once:
        add_bill_gaps(found, documents, path_of, operator)
    return found


def add_bill_gaps(found: Documents, documents: list[Kept], path_of: Callable[[str], Path], operator: Operator) -> None:
    """What bills and charge files lack of each other, for a source that has bills."""
    if operator.source.type == "orange_b2b":
        found.gaps.extend(_bill_gaps(found, documents, path_of))


def _bill_gaps(found: Documents, documents: list[Kept], path_of: Callable[[str], Path]) -> list[str]:
    pages = [path_of(one.sha256).read_bytes() for one in documents if one.role is Role.ORANGE_LISTING]
    files = [(one.document.name, one.invoices, one.document.declared_ids) for one in found.charge_files]
    return contradictions(found.bills, listed_numbers(pages), files)


def _batch(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=schema)
