"""The 50 columns of an R189 charge report: header as published, our field name, type. Nothing about how files vary."""

from dataclasses import dataclass

from billing_pipeline.schemas.columns import Kind


@dataclass(frozen=True, slots=True)
class R189Column:
    """`header` as in the report; `name` of the field in `r189_charges`; `kind` it is read as."""

    header: str
    name: str
    kind: Kind = Kind.TEXT
    personal: bool = False  # stays out of PostgreSQL and is masked in rejected rows


def _snake(header: str) -> str:
    return header.lower().replace(" ", "_")


def _column(header: str, kind: Kind = Kind.TEXT, name: str | None = None, personal: bool = False) -> R189Column:
    return R189Column(header, name or _snake(header), kind, personal)


_D, _N, _M = Kind.DATE, Kind.DECIMAL, Kind.PERIOD

R189_COLUMNS: tuple[R189Column, ...] = (
    _column("Customer Number"),
    _column("Customer name"),
    _column("Account number"),
    _column("Invoice number"),
    _column("Invoice Date", _D),
    _column("Document type"),
    _column("Period from", _D),
    _column("Period to", _D),
    _column("Charge Month", _M),
    _column("Division code"),
    _column("Division name"),
    _column("Service description"),
    _column("Service start date", _D),
    _column("Site ID"),
    _column("Site name"),
    _column("Site address", personal=True),
    _column("Site City"),
    _column("Site State"),
    _column("Postal Code"),
    _column("Country"),
    _column("Country Name"),
    _column("Speed"),
    _column("Bandwidth"),
    _column("Charge Description"),
    _column("Tax Description"),
    _column("Frequency"),
    _column("Number of days", _N),
    _column("Monthly price", _N),
    _column("Charge Currency"),
    _column("Exchange rate", Kind.RATE),
    _column("Pre-discount amount", _N, name="pre_discount_amount"),
    _column("Discount percentage", _N),
    _column("Discount amount", _N),
    _column("Taxable amount", _N),
    _column("Tax rate", _N),
    _column("Tax amount", _N),
    _column("Invoicing Amount", _N),
    _column("Invoicing Currency"),
    _column("Total including Tax", _N),
    _column("TC Cross Reference"),
    _column("Serial Number"),
    _column("Order reference"),
    _column("Credit Comments"),
    _column("Invoice Contact", personal=True),
    _column("Phone Number", personal=True),
    _column("Payment Term"),
    _column("Payment Due Date", _D),
    _column("Installed Offer ID"),
    _column("PO Reference"),
    _column("External Reference"),
)
BY_HEADER = {column.header: column for column in R189_COLUMNS}
# A file without one of these is refused; a row without one of the first four's values is rejected.
REQUIRED_VALUES = ("Invoice number", "Document type", "Charge Currency", "Taxable amount")
SERVICE_KEYS = ("Installed Offer ID", "External Reference", "Serial Number", "Order reference")
