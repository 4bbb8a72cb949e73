"""From text cells to typed columns under a file's profile: exact decimals, dates, months, meanings of words.

Distinct cells of a column are cast once and taken by their codes. A cell that cannot be read becomes null and an
Unreadable; which rows that rejects, and every rule between cells, is rules.py's and reader.py's.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.config import ChargeType, DocumentType
from billing_pipeline.r189 import number_styles as numbers
from billing_pipeline.r189.blocks import Piece
from billing_pipeline.r189.date_styles import DATE_WORDS, MONTH_WORDS, read_date, read_month
from billing_pipeline.r189.detect import INVOICE_NUMBER, TAX_RATE
from billing_pipeline.r189.profile import FileProfile
from billing_pipeline.r189.rejections import shown
from billing_pipeline.r189.vocabulary import Vocabulary
from billing_pipeline.r189.votes import NUMBER_WORDS, without_percent_sign
from billing_pipeline.schemas.arrow import ARROW_TYPES
from billing_pipeline.schemas.columns import Kind
from billing_pipeline.schemas.currencies import ISO_4217
from billing_pipeline.schemas.r189 import R189_COLUMNS, R189Column

DOCUMENT_TYPE, FREQUENCY = "Document type", "Frequency"
CURRENCIES = ("Charge Currency", "Invoicing Currency")
# Read as dictionary arrays: what is cast or looked up cell by cell, once per distinct cell.
_CODED_TEXTS = (INVOICE_NUMBER, DOCUMENT_TYPE, FREQUENCY, *CURRENCIES)
_CODED = frozenset(one.header for one in R189_COLUMNS if one.kind is not Kind.TEXT or one.header in _CODED_TEXTS)
_FRACTION_DECIMALS = numbers.MONEY_DECIMALS + 2  # 0.055 is 5.5 percent
# The first byte of every white space character of UTF-8: only such cells can be blank.
_SPACE_LEADS = np.frombuffer(b"\t\n\v\f\r\x1c\x1d\x1e\x1f \xc2\xe1\xe2\xe3", np.uint8)
_WHY = {numbers.UNREADABLE: "type", numbers.TOO_FINE: "scale", numbers.TOO_LARGE: "digits"}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A cell without a value: `at` is the row in the piece, `check` one of type, scale, digits."""

    at: int
    header: str
    check: str
    message: str


@dataclass(frozen=True)
class TypedPiece:
    """`columns` by published header, absent ones as nulls; the two mapped columns are null where no word is known.

    `taxable_stated` tells a Taxable amount that holds something, readable or not, from a blank one.
    """

    columns: dict[str, pa.Array]
    document_type: pa.Array
    charge_type: pa.Array
    taxable_stated: pa.Array
    unreadable: list[Unreadable]


def coded_headers(columns: Iterable[str]) -> list[str]:
    """Those of a file's columns that `CellReader` takes as dictionary arrays."""
    return [header for header in columns if header in _CODED]


def plain_headers(columns: Iterable[str]) -> list[str]:
    """The others."""
    return [header for header in columns if header not in _CODED]


class CellReader:
    """Types the cells of one file's pieces."""

    def __init__(
        self, profile: FileProfile, document_types: Vocabulary[DocumentType], frequencies: Vocabulary[ChargeType]
    ) -> None:
        self._profile = profile
        self._document_types = document_types
        self._frequencies = frequencies

    def typed(self, piece: Piece) -> TypedPiece:
        rows = piece.cells.num_rows
        columns: dict[str, pa.Array] = {}
        unreadable: list[Unreadable] = []
        for column in R189_COLUMNS:
            if column.header not in self._profile.columns:
                columns[column.header] = pa.nulls(rows, ARROW_TYPES[column.kind])
                continue
            cells = piece.cells.column(column.header)
            if column.kind is Kind.TEXT:
                columns[column.header] = self._text(cells, column)
            else:
                columns[column.header], faults = self._typed(cells, column)
                unreadable += faults
        taxable = piece.cells.column("Taxable amount")
        return TypedPiece(
            columns,
            self._meanings(piece, DOCUMENT_TYPE, lambda word: self._document_types.meaning(word)),
            self._meanings(piece, FREQUENCY, lambda word: self._frequencies.meaning(word)),
            pc.is_valid(blank_to_null(taxable.dictionary).take(taxable.indices)),
            unreadable,
        )

    def _text(self, cells: pa.Array, column: R189Column) -> pa.Array:
        if not pa.types.is_dictionary(cells.type):
            return blank_to_null(cells)
        words = blank_to_null(cells.dictionary)
        if column.header in CURRENCIES:  # codes are compared as they stand by everything downstream
            words = pc.utf8_trim_whitespace(words)
        return words.take(cells.indices)

    def _typed(self, cells: pa.DictionaryArray, column: R189Column) -> tuple[pa.Array, list[Unreadable]]:
        texts = pc.utf8_trim_whitespace(cells.dictionary)
        values, why = self._cast(texts, column)
        faults: list[Unreadable] = []
        if why.any():
            codes = pc.fill_null(cells.indices, -1).to_numpy(zero_copy_only=False)
            reasons = np.where(codes >= 0, why[codes], 0) if len(codes) else codes
            for at in np.flatnonzero(reasons).tolist():
                reason = int(reasons[at])
                message = f"{shown(texts[int(codes[at])].as_py())} {self._complaint(column, reason)}"
                faults.append(Unreadable(at, column.header, _WHY[reason], message))
        return values.take(cells.indices), faults

    def _cast(self, texts: pa.StringArray, column: R189Column) -> tuple[pa.Array, npt.NDArray[np.int8]]:
        kind = ARROW_TYPES[column.kind]
        if column.header == TAX_RATE:
            return self._each(texts, kind, self._tax_rate)
        if column.kind in (Kind.DECIMAL, Kind.RATE):
            decimals = numbers.RATE_DECIMALS if column.kind is Kind.RATE else numbers.MONEY_DECIMALS
            return numbers.cast_numbers(texts, self._profile.decimal, kind, decimals)
        if column.kind is Kind.DATE:
            return self._each(texts, kind, lambda cell: _or_why(read_date(cell, self._profile.date_format)))
        return self._each(texts, kind, lambda cell: _or_why(read_month(cell, self._profile.charge_month_format)))

    def _each(
        self, texts: pa.StringArray, kind: pa.DataType, read: Callable[[str], tuple[object, int]]
    ) -> tuple[pa.Array, npt.NDArray[np.int8]]:
        read_cells = [read(cell) if cell else (None, numbers.READ) for cell in texts.to_pylist()]
        why = np.array([reason for _, reason in read_cells], np.int8)
        return pa.array([value for value, _ in read_cells], kind), why

    def _tax_rate(self, cell: str) -> tuple[object, int]:
        """A rate in percent. Where the file's are fractions, a percent sign or a value above 1 is another style."""
        number, signed = without_percent_sign(cell)
        if self._profile.tax_rate == "percent":
            return numbers.read_number(number, self._profile.decimal)
        value, why = numbers.read_number(number, self._profile.decimal, _FRACTION_DECIMALS)
        if value is not None and (abs(value) > 1 or (signed and value)):
            return None, numbers.UNREADABLE
        return (None if value is None else value.scaleb(2)), why

    def _complaint(self, column: R189Column, why: int) -> str:
        if why == numbers.TOO_LARGE:
            return f"has more than {numbers.INTEGER_DIGITS} integer digits"
        if why == numbers.TOO_FINE:
            return f"has more than {numbers.RATE_DECIMALS if column.kind is Kind.RATE else numbers.MONEY_DECIMALS} decimals"
        if column.kind is Kind.DATE:
            return f"is not a date {DATE_WORDS[self._profile.date_format]}"
        if column.kind is Kind.PERIOD:
            return f"is not a month {MONTH_WORDS[self._profile.charge_month_format]}"
        scale = (
            ", as a fraction of at most 1" if column.header == TAX_RATE and self._profile.tax_rate == "fraction" else ""
        )
        return f"is not a number with {NUMBER_WORDS[self._profile.decimal]}{scale}"

    def _meanings(self, piece: Piece, header: str, meaning: Callable[[str], str | None]) -> pa.Array:
        if header not in self._profile.columns:
            return pa.nulls(piece.cells.num_rows, pa.string())
        cells = piece.cells.column(header)
        known = [None if word is None else meaning(word) for word in cells.dictionary.to_pylist()]
        return pa.array([None if one is None else str(one) for one in known], pa.string()).take(cells.indices)


def is_currency(codes: pa.Array) -> pa.Array:
    """Whether each trimmed code is an ISO 4217 one; null for null."""
    known = pc.is_in(codes, value_set=pa.array(sorted(ISO_4217), pa.string()))
    return pc.if_else(pc.is_valid(codes), known, pa.scalar(None, pa.bool_()))


def blank_to_null(cells: pa.StringArray) -> pa.StringArray:
    """The same text, null where nothing but white space stands.

    Trimming 50 columns costs 1.6 s per million rows; looking at first bytes costs a tenth, and few cells begin blank.
    """
    if len(cells) == cells.null_count:
        return cells
    offsets = np.frombuffer(cells.buffers()[1], np.int32)[cells.offset : cells.offset + len(cells) + 1]
    data = cells.buffers()[2]
    if data is None or data.size == 0:
        return pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)
    view = np.frombuffer(data, np.uint8)
    leads = np.isin(view[np.minimum(offsets[:-1], view.size - 1)], _SPACE_LEADS) | (offsets[1:] == offsets[:-1])
    candidates = np.flatnonzero(leads & pc.is_valid(cells).to_numpy(zero_copy_only=False))
    if not candidates.size:
        return cells
    blank = pc.equal(pc.utf8_trim_whitespace(cells.take(pa.array(candidates))), "").to_numpy(zero_copy_only=False)
    if not blank.any():
        return cells
    mask = np.zeros(len(cells), bool)
    mask[candidates[blank]] = True
    return pc.if_else(pa.array(mask), pa.scalar(None, pa.string()), cells)


def _or_why(value: object) -> tuple[object, int]:
    return value, numbers.READ if value is not None else numbers.UNREADABLE
