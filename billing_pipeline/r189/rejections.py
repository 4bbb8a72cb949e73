"""Why a row was left out, in the shape of table `rejected_rows`. Personal fields never get into a message or a raw text.

Which check is whose is tabled in reader.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from billing_pipeline.r189.tokenizer import Record, content
from billing_pipeline.schemas import arrow, tables
from billing_pipeline.schemas.columns import LONGEST_KEY
from billing_pipeline.schemas.r189 import BY_HEADER, R189_COLUMNS, SERVICE_KEYS

REJECTED_SCHEMA = arrow.content_schema(tables.REJECTED_ROWS)
PERSONAL_HEADERS = tuple(column.header for column in R189_COLUMNS if column.personal)
# What is kept readable beside the raw text: columns of rejected_rows and the headers they come from.
KEPT = {"invoice_id": "Invoice number", **{BY_HEADER[header].name: header for header in SERVICE_KEYS}}
MASK = "***"
# PostgreSQL's text cannot hold a NUL; this is the picture Unicode has for it.
_PICTURE_OF_NUL = "\u2400"
_QUOTED_CHARACTERS = 40
_POSITIONS = {column.header: position for position, column in enumerate(R189_COLUMNS)}


@dataclass(frozen=True, slots=True)
class RowText:
    """What is kept of a rejected row: its text with personal fields masked, its invoice number and service keys."""

    raw: str | None
    keys: tuple[str | None, ...]

    @property
    def invoice_number(self) -> str | None:
        """None also for what is too long to be one, and so cannot be owned by any period."""
        number = self.keys[0]
        return number if number is not None and len(number) <= LONGEST_KEY else None


UNTELLABLE = RowText(None, (None,) * len(KEPT))


@dataclass(frozen=True, slots=True)
class Rejection:
    """One rule broken by one row. `column` is a published header, an extra column's position, or empty."""

    source_row: int
    column: str
    check: str
    message: str
    text: RowText


def row_text(data: bytes, record: Record, columns: Mapping[str, int]) -> RowText:
    """The kept text of a record that has all its fields; bytes that are no UTF-8 show as U+FFFD, NUL as U+2400."""
    pieces, at = [], record.start
    for position in sorted(columns[header] for header in PERSONAL_HEADERS if header in columns):
        start, end, _ = record.spans[position]
        pieces.append(data[at:start])
        pieces.append(MASK.encode() if end > start else b"")
        at = end
    pieces.append(data[at : record.end])
    keys = [
        _storable(content(data, record.spans[columns[header]])).strip() or None if header in columns else None
        for header in KEPT.values()
    ]
    return RowText(_storable(b"".join(pieces)), tuple(keys))


def shown(cell: str, characters: int = _QUOTED_CHARACTERS) -> str:
    """A cell as a message quotes it: on one line, at most that many characters."""
    short = cell if len(cell) <= characters else cell[:characters] + "…"
    return repr(short)


def rejected_batch(rejections: Iterable[Rejection], sha256: str) -> pa.RecordBatch:
    """The rejections under REJECTED_SCHEMA, in order of row, column and check; one row per key."""
    unique = {(one.source_row, one.column, one.check): one for one in rejections}
    ordered = [unique[key] for key in sorted(unique, key=lambda k: (k[0], _POSITIONS.get(k[1], -1), k[1], k[2]))]
    filled: dict[str, list[object]] = {
        "source_sha256": [sha256] * len(ordered),
        "source_row": [one.source_row for one in ordered],
        "column_name": [one.column for one in ordered],
        "check_name": [one.check for one in ordered],
        "message": [one.message for one in ordered],
        "raw": [one.text.raw for one in ordered],
    }
    for position, name in enumerate(KEPT):
        filled[name] = [one.text.keys[position] for one in ordered]
    arrays = [pa.array(filled[field.name], field.type) for field in REJECTED_SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=REJECTED_SCHEMA)


def _storable(data: bytes) -> str:
    return data.decode("utf-8", errors="replace").replace("\0", _PICTURE_OF_NUL)
