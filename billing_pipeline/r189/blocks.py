"""From bytes to text cells, record by record: the fast path, and the exact one where a block holds something unusual.

A window of bytes is regular when every quote of it opens a field, closes one, or is doubled: then counting quotes tells
which line breaks end records, in numpy, and Arrow's CSV reader splits the window exactly as tokenizer.py would. The
first irregular quote, NUL, foreign line break, oversized record or broken character sends a small window through
tokenizer.py instead, and the next windows grow back. Cells stay text here; what they mean is cells.py's.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import csv

from billing_pipeline.errors import RefusedFile
from billing_pipeline.r189 import bytestream, scan, tokenizer
from billing_pipeline.r189.header import Header
from billing_pipeline.r189.rejections import UNTELLABLE, Rejection, RowText, row_text
from billing_pipeline.r189.scan import Positions
from billing_pipeline.r189.tokenizer import Record

_EXACT_BYTES = 64 * 1024  # read exactly before the fast path is tried again; doubled each time it fails at once
_MOST_EXACT_BYTES = 4 * 1024 * 1024
_MOST_RECORDS = 65_536  # of one piece: a block of two-byte lines would else be four million rejections in memory
_CODES = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class Piece:
    """Some consecutive records. `cells` has a row per record that can be told apart and a column per wanted header.

    Columns asked for as coded are dictionary arrays; an empty cell is null. `rows` numbers the records of `cells` in
    the file; `faults` are the records between them that cannot be read; `starts` where each lies in `data`.
    """

    cells: pa.RecordBatch
    rows: Positions
    faults: list[Rejection]
    data: bytes
    starts: Positions
    header: Header
    newline: bytes

    def record(self, at: int) -> Record:
        record = tokenizer.read_record(self.data, int(self.starts[at]), at_end=True, newline=self.newline)
        if record is None:
            raise AssertionError("a complete record reads as incomplete")
        return record

    def text(self, at: int) -> RowText:
        """What is kept of the record in row `at` of `cells` when it is rejected."""
        return row_text(self.data, self.record(at), self.header.columns)


class BlockReader:
    """Cuts a stream of UTF-8 blocks, header already taken off, into pieces.

    `coded` are the headers wanted as dictionary arrays, `plain` those wanted as strings. `check_utf8` for a stream
    that is only said to be UTF-8; `replaced` for one in which U+FFFD stands for a byte without meaning.
    `rows_seen` counts the records so far, `rows_read_exactly` those the fast path did not take. `cut`: the stream ended
    within a record, so that more of the file is missing than that record.
    """

    def __init__(
        self, header: Header, newline: bytes, name: str, *,
        coded: Sequence[str], plain: Sequence[str], check_utf8: bool, replaced: bool,
    ) -> None:  # fmt: skip
        self._header = header
        self._newline = newline
        self._name = name
        self._check_utf8 = check_utf8
        self._replaced = replaced
        self._wanted = sorted([*coded, *plain], key=lambda one: header.columns[one])
        names = [str(position) for position in range(header.width)]
        included = [str(header.columns[one]) for one in self._wanted]
        types = {str(header.columns[one]): _CODES if one in coded else pa.string() for one in self._wanted}
        self._types = [types[one] for one in included]
        self._names = names
        self._convert = csv.ConvertOptions(
            check_utf8=False, include_columns=included, column_types=types, null_values=[""],
            strings_can_be_null=True, quoted_strings_can_be_null=True,
        )  # fmt: skip
        self.rows_seen = 0
        self.rows_read_exactly = 0
        self.cut = False

    def pieces(self, blocks: Iterator[bytes]) -> Iterator[Piece]:
        """The records in order. RefusedFile: a field over 1 MiB, record ends of two kinds."""
        rest = b""
        for block in blocks:
            rest = yield from self._consumed(rest + block, at_end=False)
        yield from self._consumed(rest, at_end=True)

    def _consumed(self, data: bytes, *, at_end: bool) -> Generator[Piece, None, bytes]:
        """Pieces of `data` as far as it tells; returns what is left over for the next block."""
        at, window, exact = 0, len(data), _EXACT_BYTES
        while at < len(data):
            piece, following = self._regular(data[at : at + window] if at or window < len(data) else data)
            if piece is not None:
                at, window, exact = at + following, 2 * following, _EXACT_BYTES
                yield piece
                continue
            piece, following = self._exact(data, at, exact, at_end=at_end)
            if following == at:
                break
            at, window, exact = following, 4 * _EXACT_BYTES, min(2 * exact, _MOST_EXACT_BYTES)
            yield piece
        return data[at:]

    def _regular(self, data: bytes) -> tuple[Piece | None, int]:
        """The records of a regular window and where they end; (None, 0) for an irregular one."""
        ends = scan.record_ends(data, self._newline)
        if ends is None or not ends.size:
            return None, 0
        ends = ends[:_MOST_RECORDS]
        step = len(self._newline)
        following = int(ends[-1]) + step
        data = data[:following]
        starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + step))
        lengths = ends - starts
        if b"\0" in data or int(lengths.max()) > tokenizer.FIELD_LIMIT:
            return None, 0
        if (self._check_utf8 and not bytestream.is_utf8(data)) or (self._replaced and bytestream.holds_undefined(data)):
            return None, 0
        odd = 0

        def skip(row: object) -> str:
            nonlocal odd
            odd += 1
            return "skip"

        table = csv.read_csv(
            pa.BufferReader(data),
            read_options=csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=self._names),
            parse_options=csv.ParseOptions(delimiter=";", newlines_in_values=b'"' in data, invalid_row_handler=skip),
            convert_options=self._convert,
        )
        kept, faults, seen = starts, [], len(starts)
        if odd or int(lengths.min()) < self._header.width - 1:
            blank, counts = scan.blank_records(data, starts, ends), scan.field_counts(data, starts, ends)
            good = ~blank & (counts == self._header.width)
            numbers = self.rows_seen + np.cumsum(~blank)
            faults = [
                self._field_count(int(numbers[at]), int(counts[at])) for at in np.flatnonzero(~blank & ~good).tolist()
            ]
            kept, rows, seen = starts[good], numbers[good], int((~blank).sum())
        else:
            rows = self.rows_seen + np.arange(1, seen + 1)
        if table.num_rows != len(kept):
            return None, 0  # two counts of the same records: let the exact reader say
        self.rows_seen += seen
        return Piece(self._batch(table), rows, faults, data, kept, self._header, self._newline), following

    def _exact(self, data: bytes, start: int, length: int, *, at_end: bool) -> tuple[Piece, int]:
        """The next records of some `length` bytes, through the tokenizer, and where the next one begins."""
        rows: list[int] = []
        starts: list[int] = []
        cells: list[list[str | None]] = []
        faults: list[Rejection] = []
        at = start
        while at < len(data) and at - start < length and len(rows) + len(faults) < _MOST_RECORDS:
            record = self._record(data, at, at_end=at_end)
            if record is None:
                break
            at = record.following
            if tokenizer.is_blank(data, record):
                continue
            self.rows_seen += 1
            self.rows_read_exactly += 1
            found = self._faults(data, record)
            if found:
                faults += found
                self.cut = self._ends_within(record)
                continue
            rows.append(self.rows_seen)
            starts.append(record.start)
            cells.append(
                [
                    tokenizer.content(data, record.spans[self._header.columns[one]]).decode("utf-8") or None
                    for one in self._wanted
                ]
            )
        arrays = [pa.array([row[i] for row in cells], pa.string()) for i in range(len(self._wanted))]
        table = pa.Table.from_arrays(
            [
                array.dictionary_encode() if pa.types.is_dictionary(kind) else array
                for array, kind in zip(arrays, self._types, strict=True)
            ],
            names=self._wanted,
        )
        piece = Piece(
            self._batch(table), np.array(rows, np.int64), faults, data, np.array(starts, np.int64), self._header,
            self._newline,
        )  # fmt: skip
        return piece, at

    def _record(self, data: bytes, at: int, *, at_end: bool) -> Record | None:
        try:
            return tokenizer.read_record(data, at, at_end=at_end, newline=self._newline)
        except tokenizer.TooManyFields:
            raise RefusedFile(
                f"{self._name}: row {self.rows_seen + 1} has more than {tokenizer.FIELDS_LIMIT} fields; this is no R189 "
                "report, have the file delivered again"
            ) from None
        except tokenizer.FieldTooLong:
            raise RefusedFile(
                f"{self._name}: row {self.rows_seen + 1} holds a field of more than 1 MiB, or a quote there is never "
                "closed; have the file delivered again"
            ) from None
        except tokenizer.MixedRecordEnds:
            raise RefusedFile(
                f"{self._name}: row {self.rows_seen + 1} holds a line break outside quotes that is not "
                f"{newline_name(self._newline)}, which ends the header; write every record with one kind of line end"
            ) from None

    def _ends_within(self, record: Record) -> bool:
        """Whether the data ends before all fields of the record came. A last one without a line end may be whole."""
        open_quote = record.fault == tokenizer.NEVER_CLOSED
        return not record.newline and (open_quote or len(record.spans) < self._header.width)

    def _faults(self, data: bytes, record: Record) -> list[Rejection]:
        """Why the record cannot be read; empty for one that can."""
        row = self.rows_seen
        if record.fault:
            return [Rejection(row, "", "quote", record.fault, UNTELLABLE)]
        if len(record.spans) != self._header.width:
            return [self._field_count(row, len(record.spans))]
        text = data[record.start : record.end]
        faulty = b"\0" in text or (self._replaced and bytestream.holds_undefined(text))
        if not faulty and bytestream.is_utf8(text):
            return []
        names = {position: header for header, position in self._header.columns.items()}
        kept = row_text(data, record, self._header.columns)
        faults = []
        for position, span in enumerate(record.spans):
            field = data[span[0] : span[1]]
            name = names.get(position, f"#{position + 1}")
            if b"\0" in field:
                faults.append(Rejection(row, name, "nul", "the field holds a NUL byte", kept))
            if not bytestream.is_utf8(field) or (self._replaced and bytestream.holds_undefined(field)):
                encoding = "windows-1252" if self._replaced else "utf-8"
                faults.append(Rejection(row, name, "encoding", f"the field holds bytes that are not {encoding}", kept))
        return faults

    def _field_count(self, row: int, count: int) -> Rejection:
        message = f"the row has {count} fields, the header {self._header.width}"
        return Rejection(row, "", "field_count", message, UNTELLABLE)

    def _batch(self, table: pa.Table) -> pa.RecordBatch:
        """The columns under their headers, in one chunk each."""
        arrays = []
        for column, kind in zip(table.columns, self._types, strict=True):
            chunks = column.unify_dictionaries() if pa.types.is_dictionary(kind) else column
            one = chunks.combine_chunks() if chunks.num_chunks != 1 else chunks.chunk(0)
            arrays.append(one.chunk(0) if isinstance(one, pa.ChunkedArray) and one.num_chunks else one)
        return pa.RecordBatch.from_arrays(arrays, names=self._wanted)


def newline_name(newline: bytes) -> str:
    """How a profile and a message name a line end."""
    return {b"\n": "LF", b"\r\n": "CRLF", b"\r": "CR"}[newline]
