"""How an operator writes its charges down: R189 rows as CSV bytes in one dialect.

The 50 headers come from schemas/r189.py. What is charged is decided elsewhere (stories.py, billing.py); reading such a
file back is r189/, which shares nothing with this module but the headers.
"""

import datetime as dt
import gzip as gzip_format
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from billing_pipeline.config import ChargeMonthFormat, ChargeType, DateFormat, DocumentType
from billing_pipeline.periods import Period
from billing_pipeline.schemas.r189 import R189_COLUMNS

HEADERS: tuple[str, ...] = tuple(column.header for column in R189_COLUMNS)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "invoice": "Invoice", "credit_note": "Credit note",
        "monthly": "Monthly", "quarterly": "Quarterly", "one_off": "One-time", "usage": "Usage",
    },
    "fr": {
        "invoice": "Facture", "credit_note": "Avoir",
        "monthly": "Mensuel", "quarterly": "Trimestriel", "one_off": "Ponctuel", "usage": "Usage",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Percent:
    """A tax rate in percent, so that it is not written as an amount."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class Word:
    """A coded value the dialect says in its language: a document type or a frequency."""

    key: Literal["invoice", "credit_note", "monthly", "quarterly", "one_off", "usage"]


# A str is written as it stands; a Decimal keeps its decimals; a Period is a charge month; None is an empty cell.
Cell = str | int | Decimal | dt.date | Period | Percent | Word | None
Row = Mapping[str, Cell]

INVOICE, CREDIT_NOTE = Word("invoice"), Word("credit_note")
WORD_OF_DOCUMENT = {DocumentType.INVOICE: INVOICE, DocumentType.CREDIT_NOTE: CREDIT_NOTE}
WORD_OF_CHARGE = {
    ChargeType.RECURRING: Word("monthly"), ChargeType.ONE_OFF: Word("one_off"), ChargeType.USAGE: Word("usage"),
}  # fmt: skip
QUARTERLY = Word("quarterly")


@dataclass(frozen=True, slots=True)
class Dialect:
    """The habits of one operator's files. A thousands group needs the decimal sign it cannot be confused with."""

    encoding: Literal["utf-8", "utf-8-sig", "windows-1252"] = "utf-8"
    newline: Literal["\n", "\r\n", "\r"] = "\n"
    decimal: Literal[".", ","] = "."
    group: Literal["", ",", " ", "\u00a0", "\u202f"] = ""
    date_format: DateFormat = DateFormat.ISO
    charge_month_format: ChargeMonthFormat = ChargeMonthFormat.ISO
    tax_rate: Literal["20", "20.00", "20%", "0.2"] = "20"
    language: Literal["en", "fr"] = "en"
    columns: tuple[str, ...] = HEADERS
    unsigned_credits: bool = False  # amounts of a credit note without their minus sign: its document type says it
    gzip: bool = False

    def __post_init__(self) -> None:
        if self.group and (self.group == ",") != (self.decimal == "."):
            raise ValueError(f"group {self.group!r} cannot go with the decimal sign {self.decimal!r}")
        if self.group == "\u202f" and self.encoding == "windows-1252":
            raise ValueError("windows-1252 has no U+202F; group with a space or U+00A0")
        if unknown := [header for header in self.columns if header not in HEADERS]:
            raise ValueError(f"no R189 column is called {unknown[0]!r}")


def render_r189(rows: Iterable[Row], dialect: Dialect) -> bytes:
    """The header and one record per row, each cell in the dialect's style; gzip where the dialect says so.

    A cell of a column that `dialect.columns` leaves out is not written. A character the encoding lacks is a
    UnicodeEncodeError: a file must not say something else than the operator meant.
    """
    writer = _CellWriter(dialect)
    lines = [";".join(_quoted(header) for header in dialect.columns)]
    for row in rows:
        lines.append(";".join([writer.text(row.get(header)) for header in dialect.columns]))
    content = (dialect.newline.join(lines) + dialect.newline).encode(dialect.encoding)
    # No time of writing in the gzip header, so that the same rows are the same bytes.
    return gzip_format.compress(content, mtime=0) if dialect.gzip else content


class _CellWriter:
    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._words = _WORDS[dialect.language]
        # A file repeats few distinct dates and amounts; at 50 cells a row the cache halves the writing time.
        self._seen: dict[tuple[type, object], str] = {}

    def text(self, cell: Cell) -> str:
        if cell is None:
            return ""
        if type(cell) is str:
            return _quoted(cell)
        # A Decimal's text is part of the key: 8.5 and 8.50 are equal and are not written alike.
        key = (type(cell), str(cell) if isinstance(cell, Decimal) else cell)
        known = self._seen.get(key)
        if known is None:
            known = self._seen[key] = _quoted(self._styled(cell))
        return known

    def _styled(self, cell: Cell) -> str:
        if isinstance(cell, Word):
            return self._words[cell.key]
        if isinstance(cell, Percent):
            return self._rate(cell.value)
        if isinstance(cell, Decimal):
            return self._number(cell)
        if isinstance(cell, Period):
            return _charge_month(cell, self._dialect.charge_month_format)
        if isinstance(cell, dt.date):
            return _date(cell, self._dialect.date_format)
        return str(cell)

    def _number(self, value: Decimal) -> str:
        whole, _, decimals = f"{value:,f}".partition(".")
        whole = whole.replace(",", self._dialect.group)
        return f"{whole}{self._dialect.decimal}{decimals}" if decimals else whole

    def _rate(self, percent: Decimal) -> str:
        style = self._dialect.tax_rate
        if style == "20.00":
            return self._number(percent.quantize(Decimal("0.01")))
        if style == "0.2":
            return self._number(_plain(percent / 100))
        return self._number(_plain(percent)) + ("%" if style == "20%" else "")


def _plain(value: Decimal) -> Decimal:
    """Without trailing zeros, and without an exponent: 20.0 → 20."""
    normal = value.normalize()
    return normal if normal.as_tuple().exponent not in (1, 2) else normal.quantize(Decimal(1))


def _date(day: dt.date, style: DateFormat) -> str:
    # strftime's month names follow the machine's locale; the report's never do.
    if style is DateFormat.DAY_MONTH_NAME:
        return f"{day.day:02d}-{_MONTHS[day.month - 1]}-{day.year:04d}"
    return day.strftime(style.value)


def _charge_month(period: Period, style: ChargeMonthFormat) -> str:
    if style is ChargeMonthFormat.MONTH_NAME:
        return f"{_MONTHS[period.month - 1]}-{period.year % 100:02d}"
    return period.first_day.strftime(style.value)


def _quoted(text: str) -> str:
    """RFC 4180, written out because csv.writer changed which line breaks it quotes between Python 3.11 and 3.13."""
    if '"' in text or ";" in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text
