"""The rows of invoices that another document's copy supersedes, as rejected rows: complete, with their text.

Which invoices these are is decided where several documents are in view (normalize/ownership.py). A whole file may be
superseded, so its rows are made a piece at a time: Arrow splits and joins the records without quotes, 5 µs each; only
those with quotes, whose text is not their fields joined, go through the tokenizer one by one, 25 µs and more.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from billing_pipeline.r189.blocks import Piece
from billing_pipeline.r189.rejections import (
    KEPT,
    MASK,
    PERSONAL_HEADERS,
    REJECTED_SCHEMA,
    Rejection,
    rejected_batch,
)
from billing_pipeline.r189.scan import Positions

SUPERSEDED = "superseded"


def superseded_rows(piece: Piece, superseded: Mapping[str, str], sha256: str) -> pa.RecordBatch:
    """One row under REJECTED_SCHEMA per record whose Invoice number is in `superseded` (invoice number → why).

    By row number; `sha256` is the file's. Whatever else a record breaks makes no difference.
    """
    readable = _readable(piece, superseded, sha256)
    faults = [one for one in piece.faults if one.text.invoice_number in superseded]
    if not faults:
        return readable
    unread = rejected_batch(
        [
            Rejection(one.source_row, "", SUPERSEDED, superseded[str(one.text.invoice_number)], one.text)
            for one in faults
        ],
        sha256,
    )
    return in_order(readable, unread)


def in_order(one: pa.RecordBatch, other: pa.RecordBatch) -> pa.RecordBatch:
    """Rejected rows of both, by row number; rejections of the same row stay in the order they have."""
    if not one.num_rows or not other.num_rows:
        return one if one.num_rows else other
    both = pa.concat_batches([one, other])
    return both.take(pa.array(np.argsort(both.column("source_row").to_numpy(), kind="stable")))


def _readable(piece: Piece, superseded: Mapping[str, str], sha256: str) -> pa.RecordBatch:
    coded = piece.cells.column("Invoice number")
    numbers = pc.utf8_trim_whitespace(coded.dictionary).to_pylist()
    codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
    held = np.array([number in superseded for number in [*numbers, None]], bool)  # code -1, a blank cell, is the last
    found = np.flatnonzero(held[codes]) if len(codes) else np.zeros(0, np.int64)
    if not found.size:
        return pa.RecordBatch.from_pylist([], schema=REJECTED_SCHEMA)
    why = pa.array([superseded.get(number) for number in numbers], pa.string())
    cells = piece.cells.take(pa.array(found))
    filled = {
        "source_sha256": pa.repeat(pa.scalar(sha256), len(found)),
        "source_row": pa.array(piece.rows[found], pa.int64()),
        "column_name": pa.repeat(pa.scalar(""), len(found)),
        "check_name": pa.repeat(pa.scalar(SUPERSEDED), len(found)),
        "message": why.take(pa.array(codes[found])),
        "raw": _texts(piece, found),
        **{name: _key(cells, header) for name, header in KEPT.items()},
    }
    return pa.RecordBatch.from_arrays([filled[name] for name in REJECTED_SCHEMA.names], schema=REJECTED_SCHEMA)


def _key(cells: pa.RecordBatch, header: str) -> pa.StringArray:
    """A service key or the invoice number, trimmed; null where it is blank or the file has no such column."""
    if header not in cells.schema.names:
        return pa.nulls(cells.num_rows, pa.string())
    trimmed = pc.utf8_trim_whitespace(cells.column(header).cast(pa.string()))
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _texts(piece: Piece, found: Positions) -> pa.StringArray:
    """The kept text of the records in the rows `found` of the piece's cells, as rejections.row_text has it."""
    view = np.frombuffer(piece.data, np.uint8)
    starts = piece.starts[found]
    breaks = np.append(np.flatnonzero(view == piece.newline[0]), len(view))
    ends = breaks[np.searchsorted(breaks, starts)]  # of a record without quotes: no other holds a line break
    quotes = np.flatnonzero(view == ord('"'))
    quoted = np.searchsorted(quotes, ends) > np.searchsorted(quotes, starts)
    plain = np.flatnonzero(~quoted)
    texts = _joined(piece, starts[plain], ends[plain])
    if not quoted.any():
        return texts
    exact = pa.array([piece.text(int(at)).raw for at in found[quoted]], pa.string())
    order = np.empty(len(found), np.int64)
    order[plain], order[quoted] = np.arange(len(plain)), len(plain) + np.arange(len(exact))
    return pa.concat_arrays([texts, exact]).take(pa.array(order))


def _joined(piece: Piece, starts: Positions, ends: Positions) -> pa.StringArray:
    """The text of records without quotes, the personal fields masked."""
    if not starts.size:
        return pa.array([], pa.string())
    # One cut of the data per run of neighbouring records: as a rule the rows of an invoice, or the whole piece.
    step = len(piece.newline)
    last = np.append(np.flatnonzero(starts[1:] != ends[:-1] + step), len(starts) - 1)
    first = np.append(0, last[:-1] + 1)
    runs = [piece.data[start:end] for start, end in zip(starts[first].tolist(), ends[last].tolist(), strict=True)]
    data = piece.newline.join(runs) + piece.newline
    names = [str(position) for position in range(piece.header.width)]
    table = csv.read_csv(
        pa.BufferReader(data),
        read_options=csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
        parse_options=csv.ParseOptions(delimiter=";", quote_char=False, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(check_utf8=False, column_types=dict.fromkeys(names, pa.string())),
    ).combine_chunks()
    personal = {piece.header.columns[header] for header in PERSONAL_HEADERS if header in piece.header.columns}
    fields = [
        pc.if_else(pc.equal(column, ""), "", MASK) if position in personal else column
        for position, column in enumerate(table.columns)
    ]
    joined = pc.binary_join_element_wise(*fields, ";")
    texts: pa.StringArray = pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined
    assert len(texts) == len(starts)
    return texts
