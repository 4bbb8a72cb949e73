"""The rows of invoices that another document's copy supersedes, as rejected rows: complete, with their text.

Which invoices these are is decided where several documents are in view (normalize/ownership.py).
"""

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.r189.reader import R189File
from billing_pipeline.r189.rejections import Rejection, RowText, rejected_batch

SUPERSEDED = "superseded"


def superseded_rows(file: R189File, superseded: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """Every row of `file` whose Invoice number is in `superseded` (invoice number → why), whatever else it breaks."""
    wanted = pa.array(list(superseded), pa.string())
    for piece in file.pieces():
        found = []
        if piece.cells.num_rows:
            numbers = pc.utf8_trim_whitespace(piece.cells.column("Invoice number").cast(pa.string()))
            for at in pc.indices_nonzero(pc.is_in(numbers, wanted)).to_pylist():
                found.append(_rejection(int(piece.rows[at]), superseded[numbers[at].as_py()], piece.text(at)))
        for fault in piece.faults:
            invoice_id = fault.text.invoice_number
            if invoice_id is not None and invoice_id in superseded:
                found.append(_rejection(fault.source_row, superseded[invoice_id], fault.text))
        if found:
            yield rejected_batch(found, file.sha256)


def _rejection(row: int, why: str, text: RowText) -> Rejection:
    return Rejection(row, "", SUPERSEDED, why, text)
