"""The rows of invoices that another document's copy supersedes, as rejected rows: complete, with their text.

Which invoices these are is decided where several documents are in view (normalize/ownership.py).
"""

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.r189.blocks import Piece
from billing_pipeline.r189.rejections import Rejection, RowText

SUPERSEDED = "superseded"


def superseded_rows(piece: Piece, superseded: Mapping[str, str]) -> Iterator[Rejection]:
    """One rejection per row whose Invoice number is in `superseded` (invoice number → why), whatever else it breaks."""
    if not superseded:
        return
    if piece.cells.num_rows:
        numbers = pc.utf8_trim_whitespace(piece.cells.column("Invoice number").cast(pa.string()))
        wanted = pa.array(list(superseded), pa.string())
        for at in pc.indices_nonzero(pc.is_in(numbers, wanted)).to_pylist():
            yield _rejection(int(piece.rows[at]), superseded[numbers[at].as_py()], piece.text(at))
    for fault in piece.faults:
        invoice_id = fault.text.invoice_number
        if invoice_id is not None and invoice_id in superseded:
            yield _rejection(fault.source_row, superseded[invoice_id], fault.text)


def _rejection(row: int, why: str, text: RowText) -> Rejection:
    return Rejection(row, "", SUPERSEDED, why, text)
