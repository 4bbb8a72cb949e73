"""The plain records the reference works on. Field names are the registry's; no rule lives here."""

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service of an operator, as in the inventory. Prices in `currency` per month excluding tax."""

    operator_code: str = ""
    service_id: str
    description: str | None = None
    customer_id: str | None = None
    currency: str = "EUR"
    monthly_price_ht: Decimal
    discount_percent: Decimal = Decimal(0)
    activated_on: dt.date
    terminated_on: dt.date | None = None
    installed_offer_id: str | None = None
    external_reference: str | None = None
    serial_number: str | None = None
    order_reference: str | None = None
    resale_price_ht: Decimal | None = None


@dataclass(frozen=True)
class Price:
    """A row of the price history: in force from `valid_from` until the next row of the service."""

    service_id: str
    valid_from: dt.date
    monthly_price_ht: Decimal


@dataclass(frozen=True)
class ExpectedCharge:
    """A one-off charge we expect; `position` is its record in the file, from 1."""

    service_id: str
    period: str
    amount_ht: Decimal
    description: str | None
    position: int


@dataclass(frozen=True, kw_only=True)
class Line:
    """One invoice line, as in the registry's `invoice_lines`, with its partition and without its provenance."""

    operator_code: str = ""
    period: str
    invoice_id: str
    line_id: str
    service_id: str | None = None
    charge_type: str = "recurring"
    document_type: str = "invoice"
    description: str | None = None
    service_description: str | None = None
    quantity: Decimal | None = None
    unit_price_ht: Decimal | None = None
    total_ht: Decimal
    currency: str = "EUR"
    tax_rate: Decimal | None = None
    tax_amount: Decimal | None = None
    total_ttc: Decimal | None = None
    service_from: dt.date | None = None
    service_to: dt.date | None = None
    charge_month: str | None = None
    frequency: str | None = None
    number_of_days: Decimal | None = None
    monthly_price: Decimal | None = None
    pre_discount_amount: Decimal | None = None
    discount_percent: Decimal | None = None
    discount_amount: Decimal | None = None
    exchange_rate: Decimal | None = None
    invoicing_amount: Decimal | None = None
    invoicing_currency: str | None = None
    account_number: str | None = None
    site_id: str | None = None
    speed: str | None = None
    bandwidth: str | None = None
    installed_offer_id: str | None = None
    external_reference: str | None = None
    serial_number: str | None = None
    order_reference: str | None = None
    po_reference: str | None = None
    source_sha256: str = "0" * 64
    source_row: int = 1

    @property
    def ids(self) -> tuple[str, str]:
        return self.invoice_id, self.line_id

    @property
    def reference(self) -> str:
        return f"{self.invoice_id}:{self.line_id}"


@dataclass(frozen=True, kw_only=True)
class RejectedRow:
    """One rule that one row breaks. `keys` holds the four R189 keys where the row has all its fields."""

    file: str
    source_sha256: str
    source_row: int
    column_name: str
    check_name: str
    message: str
    keys: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One contradiction inside an invoice, or about a file (invoice_id empty)."""

    invoice_id: str
    line_id: str
    code: str
    subject: str
    expected: Decimal | None
    actual: Decimal | None
    note: str | None = None

    @property
    def difference(self) -> Decimal | None:
        return None if self.expected is None or self.actual is None else self.actual - self.expected


@dataclass(frozen=True, kw_only=True)
class Item:
    """One verdict. `reasons`: code → (amount in `currency`, note); a reason of amount 0 is not in it."""

    item_id: str
    side: str
    service_id: str | None
    invoice_id: str | None
    invoice_line_id: str | None
    invoice_line_ids: tuple[str, ...]
    status: str
    service_amount: Decimal | None
    invoice_amount: Decimal | None
    difference: Decimal | None
    currency: str
    reason_code: str | None
    match_key: str | None
    detail: str | None
    reasons: dict[str, tuple[Decimal, str | None]]
