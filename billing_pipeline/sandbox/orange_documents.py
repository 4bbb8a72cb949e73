"""What the Orange API knows of the reseller: bills, billing accounts and reports as its documents, and their files.

A bill is an invoice of the operator. Beyond the published example: `amountExcludingTax`, `taxAmount` and
`amountIncludingTax` are in the bill's currency, negative for a credit note; every third bill has no `period`, every
fourth no `number` (its id is then its number), every fifth no amounts; instants are UTC with milliseconds.
"""

import datetime as dt
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from billing_pipeline.config import DocumentType
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.invoicing import Invoice, reports_of
from billing_pipeline.sandbox.operators import SandboxOperator
from billing_pipeline.sandbox.r189_rows import r189_rows
from billing_pipeline.sandbox.r189_writer import render_r189
from billing_pipeline.sandbox.reseller import Reseller
from billing_pipeline.sandbox.small_pdf import one_page_pdf

MAX_DOWNLOAD_BYTES = 5 * 1024 * 1024
CHARGES, OTHER = "R189-Charges", "Site-Inventory"
_FIRST_BILL_ID = 1_013_390
_CUSTOMERS = (
    {"id": "9999", "name": "ACME Corp", "segment": "int"},
    {"id": "17896", "name": "NÉO RÉSEAUX", "segment": "int"},
)
_ACCOUNT = "9300856"
BILL_FIELDS = frozenset(
    {
        "id", "number", "type", "period", "customer.id", "customer.name", "customer.segment", "billingAccount.id",
        "currency.id", "sendingFormat", "priority", "amountExcludingTax", "taxAmount", "amountIncludingTax", "issueDate",
        "createdAt", "updatedAt",
    }
)  # fmt: skip
ACCOUNT_FIELDS = frozenset(
    {
        "id",
        "name",
        "status",
        "customer.id",
        "customer.name",
        "customer.segment",
        "currency.id",
        "createdAt",
        "updatedAt",
    }
)
REPORT_FIELDS = frozenset({"id", "type", "period", "billIds", "bytes", "createdAt", "updatedAt"})


class Report(NamedTuple):
    """A file the operator offers. `invoices` are those of an R189 report; any other report is about no invoice."""

    identifier: str
    operator: SandboxOperator
    period: Period
    position: int  # among all reports, from 0: decides which optional attributes it has
    invoices: tuple[Invoice, ...] = ()
    bill_ids: tuple[str, ...] = ()


class OrangeDocuments:
    """The documents of every operator of the reseller that bills through this API, in order of creation.

    A report's file is rendered when it is first asked for and kept: 20 000 rows take a second.
    """

    def __init__(self, reseller: Reseller) -> None:
        self._invoices: dict[str, Invoice] = {}
        self._reports: dict[str, Report] = {}
        self._files: dict[str, bytes] = {}
        self._rendering = threading.Lock()
        self.bills: dict[str, dict[str, Any]] = {}
        for period in reseller.periods:
            for operator in reseller.operators:
                if operator.source == "orange_b2b":
                    self._add(operator, period, reseller.invoices[operator.code, period])
        self.accounts = {account["id"]: account for account in _accounts()}

    def _add(self, operator: SandboxOperator, period: Period, invoices: tuple[Invoice, ...]) -> None:
        ids: dict[str, str] = {}
        for invoice in invoices:
            bill = _bill(invoice, len(self.bills))
            self.bills[bill["id"]] = bill
            self._invoices[bill["id"]] = invoice
            ids[invoice.invoice_id] = bill["id"]
        month = f"{period.year:04d}{period.month:02d}"
        for part, held in enumerate(reports_of(operator, invoices)):
            suffix = f"-part{part + 1}" if part else ""
            name = f"{CHARGES}+{_ACCOUNT}-{month}{suffix}.csv"
            self._offer(Report(name, operator, period, 0, held, tuple(ids[one.invoice_id] for one in held)))
        # A kind of report the pipeline does not know, once a quarter: such a one is kept and listed, never dropped.
        if period.month % 3 == 2:
            self._offer(Report(f"{OTHER}+{_ACCOUNT}-{month}.csv", operator, period, 0))

    def _offer(self, report: Report) -> None:
        self._reports[report.identifier] = report._replace(position=len(self._reports))

    def reports(self) -> Iterator[dict[str, Any]]:
        return (self._describe(report) for report in self._reports.values())

    def report(self, identifier: str) -> dict[str, Any] | None:
        report = self._reports.get(identifier)
        return self._describe(report) if report else None

    def report_file(self, identifier: str) -> bytes:
        """The CSV of a report there is, in the operator's dialect."""
        with self._rendering:
            if identifier not in self._files:
                self._files[identifier] = _rendered(self._reports[identifier])
            return self._files[identifier]

    def bill_file(self, identifier: str) -> bytes:
        """The PDF of a bill there is."""
        invoice = self._invoices[identifier]
        title = "Avoir" if invoice.document_type is DocumentType.CREDIT_NOTE else "Facture"
        return one_page_pdf(
            (
                f"{invoice.operator.name} - {title} {invoice.invoice_id}",
                f"Période {invoice.period}, {invoice.line_count} lignes",
                f"Total HT {invoice.total_ht} {invoice.currency}",
                f"Total TTC {invoice.total_ttc} {invoice.currency}",
            )
        )

    def _describe(self, report: Report) -> dict[str, Any]:
        """Only `id` is on every report; the others are left out in turn, as the published guide promises none."""
        created = _instant(report.period.shift(1), day=6, hour=5, minute=12)
        described: dict[str, Any] = {"id": report.identifier}
        described["type"] = CHARGES if report.invoices else OTHER
        optional: dict[str, Any] = {
            "period": str(report.period),
            "billIds": list(report.bill_ids),
            "bytes": len(self.report_file(report.identifier)),
            "updatedAt": created,
        }
        left_out = list(optional)[report.position % len(optional)]
        described.update({name: value for name, value in optional.items() if name != left_out and value != []})
        described["createdAt"] = created
        return described


def _rendered(report: Report) -> bytes:
    if not report.invoices:
        return b"Site ID;Site name\r\n"
    dialect = report.operator.file_dialect(report.period)
    return render_r189(r189_rows(report.invoices, unsigned_credits=dialect.unsigned_credits), dialect)


def _bill(invoice: Invoice, position: int) -> dict[str, Any]:
    created = _created(invoice, position)
    credit = invoice.document_type is DocumentType.CREDIT_NOTE
    has_number = position % 4 != 3
    bill: dict[str, Any] = {"id": str(_FIRST_BILL_ID + position) if has_number else invoice.invoice_id}
    if has_number:
        bill["number"] = invoice.invoice_id
    bill["customer"] = _CUSTOMERS[position % 2]
    bill["billingAccount"] = {"id": _ACCOUNT}
    bill["type"] = "creditNote" if credit else "invoice"
    bill["sendingFormat"] = "eInvoicing" if position % 4 == 1 else "paper"
    bill["priority"] = "high" if credit else "normal"
    if position % 3 != 2:
        bill["period"] = str(invoice.period)
    bill["currency"] = {"id": invoice.currency}
    # The amounts that contradict the lines must be there to be found.
    if position % 5 != 4 or invoice.finding:
        bill["amountExcludingTax"] = invoice.total_ht
        bill["taxAmount"] = invoice.total_ttc - invoice.total_ht
        bill["amountIncludingTax"] = invoice.total_ttc
    return {**bill, "issueDate": invoice.issued_on.isoformat(), "createdAt": created, "updatedAt": created}


def _created(invoice: Invoice, position: int) -> str:
    """In the month after the invoice's, Paris time: for every sixth bill that is still the month before in UTC."""
    if position % 6 == 2:
        last = invoice.period.last_day
        return f"{last.isoformat()}T23:30:00.000Z"
    return _instant(invoice.period.shift(1), day=invoice.issued_on.day, hour=6, minute=43)


def _instant(month: Period, *, day: int, hour: int, minute: int) -> str:
    moment = dt.datetime(month.year, month.month, day, hour, minute, 32, tzinfo=dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.092Z"


def _accounts() -> Iterable[Mapping[str, Any]]:
    for customer, (identifier, name) in zip(
        _CUSTOMERS, ((_ACCOUNT, "Accès fixes"), ("9300857", "Liens dédiés")), strict=True
    ):
        yield {
            "id": identifier, "name": name, "status": "active", "customer": customer, "currency": {"id": "EUR"},
            "createdAt": "2018-06-20T06:43:32.092Z", "updatedAt": "2018-06-20T06:43:32.092Z",
        }  # fmt: skip
