"""An R189 charge file into charges, invoice lines and rejected rows: header, row rules, signs, vocabulary.

Splitting text into records is in r189_text.py, reading one cell in r189_cells.py, several files together in files.py.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from billing_pipeline.config import ChargeMonthFormat, ChargeType, DateFormat, DocumentType, Profile
from billing_pipeline.periods import Period
from billing_pipeline.schemas.columns import Kind
from billing_pipeline.schemas.r189 import R189_COLUMNS, REQUIRED_VALUES, SERVICE_KEYS, R189Column
from billing_pipeline_tests.reference import iso4217, r189_cells
from billing_pipeline_tests.reference.r189_text import Record, Refused, decode, split_records
from billing_pipeline_tests.reference.records import Line, RejectedRow

DOCUMENT_TYPES = {
    "invoice": DocumentType.INVOICE,
    "facture": DocumentType.INVOICE,
    "credit note": DocumentType.CREDIT_NOTE,
    "avoir": DocumentType.CREDIT_NOTE,
}
FREQUENCIES = {
    **dict.fromkeys(
        ("monthly", "mensuel", "quarterly", "trimestriel", "yearly", "annual", "annuel"), ChargeType.RECURRING
    ),
    **dict.fromkeys(("one-time", "ponctuel"), ChargeType.ONE_OFF),
    **dict.fromkeys(("usage",), ChargeType.USAGE),
}
# What a credit turns around: every amount, but neither the monthly price nor the rates.
CREDITED = (
    "Pre-discount amount",
    "Discount amount",
    "Taxable amount",
    "Tax amount",
    "Invoicing Amount",
    "Total including Tax",
)
KEY_NAMES = {header: header.lower().replace(" ", "_") for header in SERVICE_KEYS}
CENT = Decimal("0.01")

Cell = str | Decimal | dt.date | None


@dataclass(frozen=True)
class Style:
    decimal: str
    date: DateFormat
    month: ChargeMonthFormat
    tax_factor: int  # 100 where tax rates are fractions


@dataclass
class Charge:
    """One row that was read: `cells` by header, typed; credits already negative."""

    row: int
    cells: dict[str, Cell]
    document_type: DocumentType
    charge_type: ChargeType


@dataclass
class ChargeFile:
    """One file as read. `refused` says why it is not, else None; rows = charges + distinct rejected rows.

    `cut`: the text ends before all fields of its last record came.
    """

    name: str
    sha256: str
    rows: int = 0
    charges: list[Charge] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    refused: str | None = None
    cut: bool = False


def read_file(name: str, sha256: str, content: bytes, profile: Profile) -> ChargeFile:
    """Read one file completely; a file that cannot be read with certainty has `refused` and no rows."""
    file = ChargeFile(name, sha256)
    try:
        records = split_records(decode(name, content, profile.encoding))
        if not records:
            raise Refused("is empty")
        columns = columns_of(records[0])
        rows = records[1:]
        style = style_of(rows, columns, profile)
    except Refused as refusal:
        file.refused = str(refusal)
        return file
    file.rows = len(rows)
    file.cut = bool(rows) and (
        rows[-1].end == "in quotes" or (rows[-1].end is not None and len(rows[-1].fields) < len(columns))
    )
    for number, record in enumerate(rows, start=1):
        _read_row(file, number, record, columns, style, profile)
    return file


def columns_of(header: Record) -> list[R189Column | None]:
    """Per position the R189 column it holds; None for an unknown one."""
    known = {column.header.casefold(): column for column in R189_COLUMNS}
    names = [name.strip().casefold() for name in header.fields]
    columns = [known.get(name) for name in names]
    present = [column.header for column in columns if column is not None]
    for name in present:
        if present.count(name) > 1:
            raise Refused(f"column {name!r} stands twice")
    missing = [name for name in REQUIRED_VALUES if name not in present]
    if "Charge Month" not in present and not {"Period from", "Period to"} <= set(present):
        missing.append("Charge Month, or Period from and Period to")
    if not set(SERVICE_KEYS) & set(present):
        missing.append("one of " + ", ".join(SERVICE_KEYS))
    if missing:
        raise Refused(f"lacks {'; '.join(missing)}")
    return columns


def style_of(rows: Sequence[Record], columns: Sequence[R189Column | None], profile: Profile) -> Style:
    """The file's one style of numbers, dates, months and tax rates: pinned, else from all its cells."""
    cells: dict[str, list[str]] = {column.header: [] for column in R189_COLUMNS}
    for record in rows:
        if record.fault is None and len(record.fields) == len(columns):
            for column, text in zip(columns, record.fields, strict=True):
                if column is not None and text.strip():
                    cells[column.header].append(text)

    def of(*kinds: Kind) -> list[str]:
        return [text.rstrip("% ") for column in R189_COLUMNS if column.kind in kinds for text in cells[column.header]]

    decimal: str = profile.decimal or r189_cells.one_style(
        "number", of(Kind.DECIMAL, Kind.RATE), (".", ","), r189_cells.read_number
    )
    date = profile.date_format or r189_cells.one_style("date", of(Kind.DATE), list(DateFormat), r189_cells.read_date)
    month = profile.charge_month_format or r189_cells.one_style(
        "Charge Month", of(Kind.PERIOD), list(ChargeMonthFormat), r189_cells.read_month
    )
    rates = [r189_cells.read_number(text.rstrip("% "), decimal) for text in cells["Tax rate"]]
    fractions = not any("%" in text for text in cells["Tax rate"]) and all(
        rate <= 1 for rate in rates if rate is not None
    )
    if profile.tax_rate is not None:
        fractions = profile.tax_rate == "fraction"
    return Style(decimal, date, month, 100 if fractions else 1)


def _read_row(
    file: ChargeFile,
    number: int,
    record: Record,
    columns: Sequence[R189Column | None],
    style: Style,
    profile: Profile,
) -> None:
    """Adds the row to the file's charges, or one rejected row per rule it breaks."""
    faults: list[tuple[str, str, str]] = []
    keys: dict[str, str | None] = {}
    cells: dict[str, Cell] = {column.header: None for column in R189_COLUMNS}
    document_type: DocumentType | None = None
    charge_type: ChargeType | None = None
    if record.fault is not None:
        faults.append(("", record.fault, "the row is not CSV"))
    elif len(record.fields) != len(columns):
        faults.append(("", "field_count", f"{len(record.fields)} fields where the header has {len(columns)}"))
    else:
        texts = {c.header: t.strip() for c, t in zip(columns, record.fields, strict=True) if c is not None}
        keys = {KEY_NAMES[header]: texts.get(header) or None for header in SERVICE_KEYS}
        for column in R189_COLUMNS:
            cells[column.header] = _cell(column, texts.get(column.header, ""), style, faults)
        document_type, charge_type = _vocabulary(cells, profile, faults)
        if document_type is DocumentType.CREDIT_NOTE:
            for header in CREDITED:
                amount = cells[header]
                if isinstance(amount, Decimal):
                    cells[header] = -abs(amount)
        faults.extend(_row_rules(cells, {column_name for column_name, _, _ in faults}))
    if faults or document_type is None or charge_type is None:
        file.rejected.extend(_rejected(file, number, fault, keys) for fault in faults)
    else:
        file.charges.append(Charge(number, cells, document_type, charge_type))


def _rejected(file: ChargeFile, number: int, fault: tuple[str, str, str], keys: dict[str, str | None]) -> RejectedRow:
    column_name, check, message = fault
    return RejectedRow(
        file=file.name,
        source_sha256=file.sha256,
        source_row=number,
        column_name=column_name,
        check_name=check,
        message=message,
        keys=keys,
    )


def _cell(column: R189Column, text: str, style: Style, faults: list[tuple[str, str, str]]) -> Cell:
    """The typed cell, None where blank; a fault where it is no such type or not of the file's style."""
    if not text:
        return None
    value: Cell
    if column.kind in (Kind.DECIMAL, Kind.RATE):
        is_tax_rate = column.header == "Tax rate"
        number = r189_cells.read_number(text.removesuffix("%").strip() if is_tax_rate else text, style.decimal)
        allowed = 12 if column.kind is Kind.RATE else 6
        if number is None:
            faults.append((column.header, "type", "not a number of the file's style"))
            return None
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        if -exponent > allowed:
            faults.append((column.header, "scale", f"more than {allowed} decimals"))
            return None
        if abs(number) >= 10**12:
            faults.append((column.header, "digits", "more than 12 integer digits"))
            return None
        return number * style.tax_factor if is_tax_rate else number
    if column.kind is Kind.DATE:
        value = r189_cells.read_date(text, style.date)
    elif column.kind is Kind.PERIOD:
        value = r189_cells.read_month(text, style.month)
    else:
        return text
    if value is None:
        faults.append((column.header, "type", "not a date or month of the file's style"))
    return value


def _vocabulary(
    cells: Mapping[str, Cell], profile: Profile, faults: list[tuple[str, str, str]]
) -> tuple[DocumentType | None, ChargeType | None]:
    words = {**DOCUMENT_TYPES, **{word.strip().casefold(): kind for word, kind in profile.document_types.items()}}
    rhythms = {**FREQUENCIES, **{word.strip().casefold(): kind for word, kind in profile.frequencies.items()}}
    stated, rhythm = cells["Document type"], cells["Frequency"]
    document_type = None if stated is None else words.get(str(stated).casefold())
    if stated is not None and document_type is None:
        faults.append(("Document type", "vocabulary", "a word the profile does not map"))
    if rhythm is None:
        return document_type, ChargeType.ONE_OFF if cells["Monthly price"] is None else ChargeType.RECURRING
    charge_type = rhythms.get(str(rhythm).casefold())
    if charge_type is None:
        faults.append(("Frequency", "vocabulary", "a word the profile does not map"))
    return document_type, charge_type


def _row_rules(cells: Mapping[str, Cell], unreadable: set[str]) -> list[tuple[str, str, str]]:
    """The rules over a row's typed cells; a cell that could not be read is None here and has its own fault already."""
    faults = []
    for header in REQUIRED_VALUES:
        if cells[header] is None and header not in unreadable:
            faults.append((header, "required", "no value"))
    for header in ("Charge Currency", "Invoicing Currency"):
        if cells[header] is not None and cells[header] not in iso4217.CODES:
            faults.append((header, "currency", "not an ISO 4217 code"))
    before, discount, after = (cells[h] for h in ("Pre-discount amount", "Discount amount", "Taxable amount"))
    stated = [amount for amount in (before, discount, after) if isinstance(amount, Decimal)]
    if len(stated) == 3 and abs(stated[0] - stated[1] - stated[2]) > CENT:
        faults.append(("Taxable amount", "arithmetic", "Pre-discount less Discount is not Taxable"))
    first, last = cells["Period from"], cells["Period to"]
    if (first is None) != (last is None) and not unreadable & {"Period from", "Period to"}:
        faults.append(
            ("Period to" if last is None else "Period from", "period_order", "only one of Period from and to")
        )
    if isinstance(first, dt.date) and isinstance(last, dt.date):
        months = (last.year - first.year) * 12 + last.month - first.month + 1
        if last < first:
            faults.append(("Period to", "period_order", "Period to before Period from"))
        elif months > 120:
            faults.append(("Period to", "span", "more than 120 months"))
    return faults


def line_of(file: ChargeFile, charge: Charge, operator_code: str, period: Period) -> Line:
    """The charge as an invoice line of the partition `period`."""
    own = {column.name: charge.cells[column.header] for column in R189_COLUMNS}
    values: dict[str, object] = {
        "operator_code": operator_code,
        "period": str(period),
        "invoice_id": own["invoice_number"],
        "line_id": f"{file.sha256[:8]}-{charge.row:06d}",
        "charge_type": charge.charge_type.value,
        "document_type": charge.document_type.value,
        "description": own["charge_description"],
        "total_ht": own["taxable_amount"],
        "currency": own["charge_currency"],
        "total_ttc": own["total_including_tax"],
        "service_from": own["period_from"],
        "service_to": own["period_to"],
        "discount_percent": own["discount_percentage"],
        "source_sha256": file.sha256,
        "source_row": charge.row,
    }
    for name in _CARRIED:
        values[name] = own[name]
    return Line(**values)  # type: ignore[arg-type]


_CARRIED = (
    "service_description", "tax_rate", "tax_amount", "charge_month", "frequency", "number_of_days", "monthly_price",
    "pre_discount_amount", "discount_amount", "exchange_rate", "invoicing_amount", "invoicing_currency",
    "account_number", "site_id", "speed", "bandwidth", "installed_offer_id", "external_reference", "serial_number",
    "order_reference", "po_reference",
)  # fmt: skip
