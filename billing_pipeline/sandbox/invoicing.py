"""How an operator puts its lines of a month on invoices: grouping, numbers, declared totals. Lines are billing.py."""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing_pipeline.config import ChargeType, DocumentType
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.billing import Charge
from billing_pipeline.sandbox.operators import SandboxOperator

LINES_PER_INVOICE = {"netwo": 80, "r189_files": 200, "orange_b2b": 200}
# 20 x 200 rows are about 2 MB: a report stays below the 5 MB that the API serves.
INVOICES_PER_REPORT = 20
FOOTING_ERROR = Decimal("28.50")
_ISSUED_ON_DAY = 5


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice or credit note. The totals are what it declares, in `currency`, which may contradict its lines."""

    invoice_id: str
    operator: SandboxOperator
    period: Period
    document_type: DocumentType
    currency: str
    charges: tuple[Charge, ...]
    total_ht: Decimal
    total_ttc: Decimal
    finding: str | None = None

    @property
    def line_count(self) -> int:
        return len(self.charges)

    @property
    def issued_on(self) -> dt.date:
        """The 5th of the following month."""
        return self.period.shift(1).first_day.replace(day=_ISSUED_ON_DAY)


def make_invoices(operator: SandboxOperator, period: Period, charges: Iterable[Charge]) -> tuple[Invoice, ...]:
    """Every charge on exactly one invoice, one currency and one document type per invoice, euros first.

    The hub's operators also invoice one-off charges apart. One month in three the first invoice of an operator whose
    API declares totals declares 28.50 more than its lines add up to.
    """
    invoices: list[Invoice] = []
    for document_type, currency, lines in _groups(operator, charges):
        total = sum((line.amount for line in lines if not line.unreadable), Decimal("0.00"))
        tax = sum((line.tax for line in lines if not line.unreadable), Decimal("0.00"))
        finding = None
        if operator.source != "r189_files" and period.month % 3 == 2 and not invoices:
            total, tax, finding = total + FOOTING_ERROR, tax + FOOTING_ERROR / 5, "INVOICE_FOOTING"
        invoices.append(
            Invoice(
                _invoice_id(operator, period, document_type, len(invoices) + 1),
                operator,
                period,
                document_type,
                currency,
                tuple(lines),
                total,
                total + tax,
                finding,
            )
        )
    return tuple(invoices)


def line_reference(operator: SandboxOperator, position_in_invoice: int, row_in_file: int) -> str:
    """What names a line, both counted from 1: the hub's lineId; for R189 the six digits that end our line_id."""
    return f"LN-{position_in_invoice:03d}" if operator.source == "netwo" else f"{row_in_file:06d}"


def reports_of(operator: SandboxOperator, invoices: Sequence[Invoice]) -> Iterator[tuple[Invoice, ...]]:
    """The month's invoices report by report: all in one but for an API that serves no large report."""
    step = INVOICES_PER_REPORT if operator.source == "orange_b2b" else max(len(invoices), 1)
    for start in range(0, len(invoices), step):
        yield tuple(invoices[start : start + step])


def _groups(operator: SandboxOperator, charges: Iterable[Charge]) -> Iterator[tuple[DocumentType, str, list[Charge]]]:
    groups: dict[tuple[int, str, str], list[Charge]] = {}
    for charge in charges:
        credit = charge.document_type is DocumentType.CREDIT_NOTE
        apart = operator.source == "netwo" and not credit and charge.charge_type is not ChargeType.RECURRING
        kind = 2 if credit else 1 if apart else 0
        foreign = "" if charge.currency == "EUR" else charge.currency
        groups.setdefault((kind, foreign, charge.currency), []).append(charge)
    step = LINES_PER_INVOICE[operator.source]
    for (kind, _, currency), lines in sorted(groups.items(), key=lambda group: group[0]):
        document_type = DocumentType.CREDIT_NOTE if kind == 2 else DocumentType.INVOICE
        for start in range(0, len(lines), step):
            yield document_type, currency, lines[start : start + step]


def _invoice_id(operator: SandboxOperator, period: Period, document_type: DocumentType, number: int) -> str:
    if operator.source == "netwo":
        return f"INV-{operator.code}-{period}-{number:03d}"
    kind = "AV" if document_type is DocumentType.CREDIT_NOTE else "FA"
    return f"{kind}-{operator.prefix}-{period}-{number:04d}"
