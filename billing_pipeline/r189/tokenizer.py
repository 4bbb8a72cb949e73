"""Where one CSV record ends and what its fields are, byte by byte, exactly. The fast path is blocks.py; no typing here.

Fields are separated by `;`. A field that begins with a quote runs to the next single quote and may hold `;`, doubled
quotes and line breaks of any kind; a quote anywhere else is a character; text after a closing quote is a fault of the
record. LF, CRLF or CR ends records, whichever ended the header: another one outside quotes has two readings (data, or
the end of a record), so it refuses the file. Structure is ASCII, so UTF-8 needs no decoding here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

FIELD_LIMIT = 1024 * 1024
# Far more than any report has. A record without end, as in an archive of nothing but separators, is not read to its end.
FIELDS_LIMIT = 10_000
NEVER_CLOSED = "a quote is never closed"
_STOP = re.compile(rb"[;\r\n]")
_QUOTE, _DELIMITER, _CR, _LF = b'";\r\n'


class MixedRecordEnds(Exception):
    """A line break outside quotes that is not the one that ended the header."""


class TooManyFields(Exception):
    """A record of more than FIELDS_LIMIT fields."""


class FieldTooLong(Exception):
    """A field of more than FIELD_LIMIT bytes, or a quote not closed within them."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a buffer: bytes `start` to `end` without its line end; the next begins at `following`.

    `spans` are (start, end, quoted) of every field's content, quotes left out; `fault` says why they mean nothing.
    """

    start: int
    end: int
    following: int
    spans: tuple[tuple[int, int, bool], ...]
    newline: bytes
    fault: str | None


def read_record(data: bytes, start: int, *, at_end: bool, newline: bytes | None) -> Record | None:
    """The record that begins at `start`, or None when `data` holds too little of it to tell and more is to come.

    `newline` None accepts any of the three (the header). A record that the end of the data ends has `newline` empty.
    """
    spans: list[tuple[int, int, bool]] = []
    fault: str | None = None
    at, size = start, len(data)
    while True:
        if at < size and data[at] == _QUOTE:
            closing = _closing_quote(data, at + 1, at_end)
            if closing is None:
                if size - at - 1 > FIELD_LIMIT:
                    raise FieldTooLong
                if not at_end:
                    return None
                return Record(start, size, size, (*spans, (at + 1, size, True)), b"", NEVER_CLOSED)
            stop = closing + 1
            if stop < size and data[stop] not in b";\r\n":
                fault = "text follows a closing quote"
                stop = _unquoted_end(data, stop)
            spans.append((at + 1, closing, True))
        else:
            stop = _unquoted_end(data, at)
            spans.append((at, stop, False))
        if spans[-1][1] - spans[-1][0] > FIELD_LIMIT:
            raise FieldTooLong
        if len(spans) > FIELDS_LIMIT:
            raise TooManyFields
        if stop < size and data[stop] == _DELIMITER:
            at = stop + 1
            continue
        if stop == size:
            return Record(start, size, size, tuple(spans), b"", fault) if at_end else None
        found = _line_break(data, stop, at_end)
        if found is None:
            return None
        cut = at_end and found == b"\r" and newline == b"\r\n" and stop + 1 == size  # the file ends inside CRLF
        if newline is not None and found != newline and not cut:
            raise MixedRecordEnds
        return Record(start, stop, stop + len(found), tuple(spans), found, fault)


def records(data: bytes, start: int, *, at_end: bool, newline: bytes) -> Iterator[Record]:
    """The records from `start` on, as far as the data tells; blank lines are left out."""
    while start < len(data):
        record = read_record(data, start, at_end=at_end, newline=newline)
        if record is None:
            return
        if not is_blank(data, record):
            yield record
        start = record.following


def is_blank(data: bytes, record: Record) -> bool:
    """Whether the record is a line of nothing, or of spaces and tabs."""
    return len(record.spans) == 1 and not data[record.start : record.end].strip(b" \t")


def content(data: bytes, span: tuple[int, int, bool]) -> bytes:
    """A field's bytes as meant: a doubled quote of a quoted field is one."""
    start, end, quoted = span
    return data[start:end].replace(b'""', b'"') if quoted else data[start:end]


def _closing_quote(data: bytes, at: int, at_end: bool) -> int | None:
    """Where the quote that closes a field stands; None where the data ends before one is certain."""
    while True:
        found = data.find(b'"', at)
        if found < 0 or (found + 1 == len(data) and not at_end):
            return None
        if found + 1 < len(data) and data[found + 1] == _QUOTE:
            at = found + 2
            continue
        return found


def _unquoted_end(data: bytes, at: int) -> int:
    match = _STOP.search(data, at)
    return match.start() if match else len(data)


def _line_break(data: bytes, at: int, at_end: bool) -> bytes | None:
    """The line break at `at`; None for a CR that ends the data while an LF may follow."""
    if data[at] == _LF:
        return b"\n"
    if at + 1 < len(data):
        return b"\r\n" if data[at + 1] == _LF else b"\r"
    return b"\r" if at_end else None
