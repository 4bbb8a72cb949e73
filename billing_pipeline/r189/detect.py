"""Which styles one file is written in: one pass over all cells of the columns concerned, never a guess per cell.

Encoding, record ends and header come from the bytes (opening.py); the number style from every DECIMAL and RATE column
together, the date style from every date column together, the charge month and the rate scale from theirs, each by the
rule in votes.py. What the operator's profile pins is not voted on. The outcome depends on nothing but the bytes.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.config import ChargeMonthFormat, DateFormat, Profile
from billing_pipeline.errors import RefusedFile
from billing_pipeline.r189 import bytestream, votes
from billing_pipeline.r189.ahead import ahead
from billing_pipeline.r189.blocks import BlockReader, Piece, newline_name
from billing_pipeline.r189.opening import UTF8, WINDOWS_1252, OpenedFile, open_file
from billing_pipeline.r189.profile import FileProfile, Origin
from billing_pipeline.schemas.columns import Kind
from billing_pipeline.schemas.r189 import BY_HEADER

TAX_RATE = "Tax rate"
INVOICE_NUMBER = "Invoice number"
_NUMBER_KINDS = (Kind.DECIMAL, Kind.RATE)


def detect(path: Path, pinned: Profile, *, name: str) -> FileProfile:
    """How the file at `path`, delivered under `name`, is written.

    RefusedFile, one line with the cells and the key to set, where it has two readings; also where it cannot be read
    at all (gzip, header, limits).
    """
    return survey(path, pinned, name=name).profile


@dataclass(frozen=True)
class Survey:
    """What one reading of a file tells of it before any row is judged.

    `rows` are its records, readable or not; `invoices` counts those whose Invoice number can be told, by that number.
    `sha256` is of the bytes as received, in hex. `cut`: the file ends within a record.
    """

    profile: FileProfile
    sha256: str
    rows: int
    invoices: Counter[str]
    cut: bool


def survey(path: Path, pinned: Profile, *, name: str, sha256: str | None = None) -> Survey:
    """Read the file once. A known `sha256` is taken on trust: hashing again costs a sixth of the reading."""
    if pinned.encoding is not None:
        return _survey(path, pinned, name, sha256, pinned.encoding)
    try:
        return _survey(path, pinned, name, sha256, UTF8)
    except bytestream.NotUtf8 as error:
        offset = error.offset
    return _survey(path, pinned, name, sha256, WINDOWS_1252, not_utf8_at=offset)


def _survey(
    path: Path, pinned: Profile, name: str, sha256: str | None, encoding: str, not_utf8_at: int | None = None
) -> Survey:
    opened = open_file(path, name, encoding, checked=pinned.encoding is None, hashed=sha256 is None)
    ballot = Ballot(pinned, opened.header.columns)
    reader = BlockReader(
        opened.header, opened.newline, name, coded=[*ballot.headers, INVOICE_NUMBER], plain=(),
        check_utf8=pinned.encoding == UTF8, replaced=encoding == WINDOWS_1252,
    )  # fmt: skip
    watch = Watch(opened, name, not_utf8_at)
    invoices: Counter[str] = Counter()
    for piece in ahead(reader.pieces(watch.blocks())):
        ballot.add(piece)
        count_invoices(invoices, piece)
    profile = profile_of(opened, encoding, pinned, ballot.decide(name), accented=watch.accented)
    return Survey(profile, sha256 or opened.received.sha256, reader.rows_seen, invoices, reader.cut)


def profile_of(
    opened: OpenedFile, encoding: str, pinned: Profile, decided: tuple["Styles", dict[str, Origin]], *, accented: bool
) -> FileProfile:
    """The profile of an opened file in `encoding`, its styles as a ballot `decided`; `accented`: not all is ASCII."""
    styles, origins = decided
    if pinned.encoding is not None:
        origins["encoding"] = Origin.PINNED
    else:
        origins["encoding"] = Origin.DETECTED if accented or opened.bom else Origin.IRRELEVANT
    header = opened.header
    return FileProfile(
        encoding=encoding, bom=opened.bom, newline=newline_name(opened.newline), decimal=styles.decimal,
        date_format=styles.date_format, charge_month_format=styles.charge_month_format, tax_rate=styles.tax_rate,
        width=header.width, columns=header.columns, absent=header.absent, extra=header.extra, origins=origins,
    )  # fmt: skip


def count_invoices(invoices: Counter[str], piece: Piece) -> None:
    """Every record with all its fields has an invoice number that can be told, whatever else it breaks."""
    coded = piece.cells.column(INVOICE_NUMBER)
    if len(coded):
        numbers = pc.utf8_trim_whitespace(coded.dictionary).to_pylist()
        counts = np.bincount(coded.indices.drop_null().to_numpy(), minlength=len(numbers))
        for number, count in zip(numbers, counts.tolist(), strict=True):
            if number:
                invoices[number] += count
    for fault in piece.faults:
        if fault.text.invoice_number is not None:
            invoices[fault.text.invoice_number] += 1


class Watch:
    """The blocks as they pass: whether any holds more than ASCII, and bytes that neither encoding has."""

    def __init__(self, opened: OpenedFile, name: str, not_utf8_at: int | None) -> None:
        self._opened = opened
        self._name = name
        self._not_utf8_at = not_utf8_at
        self.accented = not_utf8_at is not None

    def blocks(self) -> Iterator[bytes]:
        for block in self._opened.blocks:
            self.accented = self.accented or not block.isascii()
            if self._not_utf8_at is not None and bytestream.holds_undefined(block):
                raise RefusedFile(
                    f"{self._name}: byte {self._not_utf8_at} is not UTF-8 and other bytes are not Windows-1252 either; "
                    'set profile.encoding of this operator in billing.yaml to "utf-8" or "windows-1252" to reject '
                    "only the rows that hold them"
                )
            yield block


@dataclass(frozen=True)
class Styles:
    decimal: str
    date_format: DateFormat
    charge_month_format: ChargeMonthFormat
    tax_rate: str


class Ballot:
    """The four votes of one file, less those the profile settles."""

    def __init__(self, pinned: Profile, columns: Mapping[str, int]) -> None:
        self._pinned = pinned
        self._numbers = votes.NumberVote()
        self._dates = votes.DateVote()
        self._months = votes.MonthVote()
        self._rates = votes.TaxRateVote()
        # Which columns must be looked at at all: none of a kind whose style is pinned.
        concerned = [header for header in columns if self._concerned(header)]
        # One column at least, so that a file with broken records is refused here and not half-way through its rows.
        self.headers = concerned or ["Taxable amount"]

    def _concerned(self, header: str) -> bool:
        kind, pinned = BY_HEADER[header].kind, self._pinned
        if header == TAX_RATE and pinned.tax_rate is None:
            return True
        return (
            (kind in _NUMBER_KINDS and pinned.decimal is None)
            or (kind is Kind.DATE and pinned.date_format is None)
            or (kind is Kind.PERIOD and pinned.charge_month_format is None)
        )

    def add(self, piece: Piece) -> None:
        """Count the cells of all columns concerned."""
        for header in self.headers:
            cells = pc.utf8_trim_whitespace(piece.cells.column(header).dictionary)
            self._count(header, cells, _first_of(piece, header))

    def add_rest(self, piece: Piece, unread: Collection[tuple[int, str]]) -> None:
        """Count the cells that can still change the result, when `unread`, (row in the piece, header), are those that
        the styles decided so far do not read: a cell that a settled style reads votes for it, as all before did."""
        settled = self._settled()
        for header in self.headers:
            if header not in settled:
                cells = pc.utf8_trim_whitespace(piece.cells.column(header).dictionary)
                self._count(header, cells, _first_of(piece, header))
        for at, header in unread:
            if header in settled:
                cell = pa.array([piece.cells.column(header)[at].as_py()], pa.string())
                self._count(header, pc.utf8_trim_whitespace(cell), _at(piece, at, header))

    def _settled(self) -> set[str]:
        """Columns of which further cells can confirm the style or contradict it, and nothing else."""
        pinned = self._pinned
        number = pinned.decimal or self._numbers.settled
        date = pinned.date_format or self._dates.settled
        month = pinned.charge_month_format or self._months.settled
        settled = set()
        for header in self.headers:
            kind = BY_HEADER[header].kind
            if header == TAX_RATE:
                done = number is not None and (pinned.tax_rate is not None or self._rates.says_percent(number))
            else:
                done = (date if kind is Kind.DATE else month if kind is Kind.PERIOD else number) is not None
            if done:
                settled.add(header)
        return settled

    def _count(self, header: str, cells: pa.StringArray, locate: votes.Locate) -> None:
        if not self._concerned(header):
            return
        kind = BY_HEADER[header].kind
        if kind is Kind.DATE:
            self._dates.add(cells, locate)
        elif kind is Kind.PERIOD:
            self._months.add(cells, locate)
        else:
            if header == TAX_RATE:
                self._rates.add(cells)
                cells = pc.utf8_rtrim_whitespace(pc.replace_substring_regex(cells, "%$", ""))
            if self._pinned.decimal is None:
                self._numbers.add(cells, locate)

    def decide(self, name: str) -> tuple[Styles, dict[str, Origin]]:
        pinned = self._pinned
        origins = dict.fromkeys(("decimal", "date_format", "charge_month_format", "tax_rate"), Origin.PINNED)
        decimal: str | None = pinned.decimal
        if decimal is None:
            decimal, origins["decimal"] = self._numbers.decide(name)
        day, month, rate = pinned.date_format, pinned.charge_month_format, pinned.tax_rate
        scale: str | None = rate
        if day is None:
            day, origins["date_format"] = self._dates.decide(name)
        if month is None:
            month, origins["charge_month_format"] = self._months.decide(name)
        if scale is None:
            scale, origins["tax_rate"] = self._rates.decide(decimal)
        return Styles(decimal, day, month, scale), origins


def _first_of(piece: Piece, header: str) -> votes.Locate:
    """Where a distinct cell of a column stands first."""
    indices = piece.cells.column(header).indices
    return lambda code: (int(piece.rows[pc.index(indices, pa.scalar(code, pa.int32())).as_py()]), header)


def _at(piece: Piece, at: int, header: str) -> votes.Locate:
    return lambda _: (int(piece.rows[at]), header)
