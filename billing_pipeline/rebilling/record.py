"""What became of one customer's invoice of one period: the events, and the record they fold into. No files, no calls.

    planned     what is to be invoiced            intent      a call is about to be made
    withdrawn   nothing any more                  outcome     how it ended: done, not_done, refused, unknown, lost, left
    found       what the API says of a document   downloaded  its PDF is kept
    differs     the period has changed since the invoice was finalized

Each event carries a digest over itself and the one before it, so that two copies agree when their last digests do.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from billing_pipeline.rebilling.plan import PlannedInvoice

PLANNED, DRAFT, FINALIZED, NEEDS_REVIEW = "PLANNED", "DRAFT", "FINALIZED", "NEEDS_REVIEW"
Role = Literal["invoice", "credit"]
ROLES: tuple[Role, ...] = ("invoice", "credit")
CREATE, DELETE, FINALIZE = "create", "delete", "finalize"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the journal and one row of customer_invoice_events. `at` is an ISO instant, UTC."""

    customer_id: str
    period: str
    sequence: int
    at: str
    event: str
    content: Mapping[str, Any]
    run_id: str
    digest: str = ""

    def sealed(self, before: str) -> "Event":
        """The same with its digest; `before` is that of the event before it, '' for the first."""
        return Event(**{**asdict(self), "digest": self._digest(before)})

    def follows(self, before: str) -> bool:
        return self.digest == self._digest(before)

    def _digest(self, before: str) -> str:
        stated = {name: value for name, value in asdict(self).items() if name != "digest"}
        text = json.dumps([before, stated], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Pending:
    """A call that was about to be made and whose outcome is not written down."""

    step: str
    at: str
    body: str
    asked_before: bool


@dataclass(slots=True)
class Progress:
    """How far one document has come. `sent` maps a step to the digest of the body the API has accepted.

    `finalize_asked`: it may be finalized without our knowing, so no other document may take its place; `missing`: so it
    is, and the API does not know it, which only a person can settle.
    """

    invoicing_id: str | None = None
    owner: str | None = None
    currency: str | None = None
    pending: Pending | None = None
    sent: dict[str, str] = field(default_factory=dict)
    finalize_asked: bool = False
    finalized: bool = False
    number: str | None = None
    finalized_at: str | None = None
    total_ttc: int | None = None
    review: str | None = None
    missing: bool = False
    approved_by: str | None = None
    pdf_sha256: str | None = None

    def copy(self) -> "Progress":
        return replace(self, sent=dict(self.sent))


@dataclass(slots=True)
class Record:
    """Everything known of one customer and period."""

    customer_id: str
    period: str
    sequence: int = 0
    digest: str = ""
    plan: PlannedInvoice | None = None
    wanted: bool = False
    invoice: Progress = field(default_factory=Progress)
    credit: Progress = field(default_factory=Progress)
    orphaned: list[str] = field(default_factory=list)
    differs: str | None = None
    run_id: str = ""
    at: str = ""

    @property
    def state(self) -> str:
        if self.invoice.review or self.credit.review:
            return NEEDS_REVIEW
        if self.invoice.finalized:
            return FINALIZED
        return DRAFT if self.invoice.invoicing_id else PLANNED

    @property
    def detail(self) -> str | None:
        told = [
            self.invoice.review,
            f"credit note: {self.credit.review}" if self.credit.review else None,
            self.differs,
            self.plan.note if self.plan is not None and self.wanted else None,
            None if self.wanted or not self.sequence else "nothing to invoice any more",
        ]
        return "; ".join(one for one in told if one) or None

    def progress(self, role: Role) -> Progress:
        return self.invoice if role == "invoice" else self.credit

    def after(self, event: Event) -> "Record":
        """The record once `event` has happened; this one stays as it is."""
        # The plan is shared: copying the lines of 2 000 customers for each event would take longer than reading them.
        made = replace(self, invoice=self.invoice.copy(), credit=self.credit.copy(), orphaned=list(self.orphaned))
        made.sequence, made.digest, made.run_id, made.at = event.sequence, event.digest, event.run_id, event.at
        content = event.content
        if event.event == "planned":
            made.plan, made.wanted = PlannedInvoice.of(content["plan"]), True
        elif event.event == "withdrawn":
            made.wanted = False
        elif event.event == "differs":
            made.differs = content["detail"]
        else:
            role: Role = content["document"]
            _APPLY[event.event](made, role, made.progress(role), event)
        return made

    def row(self) -> dict[str, Any]:
        """The row of customer_invoices; amounts as Decimals."""
        wanted = self.plan if self.wanted else None
        return {
            "customer_id": self.customer_id,
            "period": self.period,
            "state": self.state,
            "state_detail": self.detail,
            "invoicing_id": self.invoice.invoicing_id,
            "number": self.invoice.number,
            "total_ht": _amount(wanted.total if wanted else 0),
            "total_ttc": None if self.invoice.total_ttc is None else _amount(self.invoice.total_ttc),
            "currency": wanted.currency if wanted else None,
            "finalized_at": self.invoice.finalized_at,
            "approved_by": self.invoice.approved_by,
            "pdf_sha256": self.invoice.pdf_sha256,
            "cost_checked": wanted.cost_checked if wanted else None,
            "orphaned_drafts": list(self.orphaned),
            "credit_note_id": self.credit.invoicing_id,
            "credit_note_number": self.credit.number,
            "credit_note_pdf_sha256": self.credit.pdf_sha256,
            "run_id": self.run_id,
            "loaded_at": self.at,
        }

    def line_rows(self) -> list[dict[str, Any]]:
        """The rows of customer_invoice_lines; amounts as Decimals."""
        if self.plan is None or not self.wanted:
            return []
        rows = []
        for line in self.plan.lines:
            price = _amount(line.unit_price)
            cost = None if line.cost_ht is None else Decimal(line.cost_ht)
            rows.append(
                {
                    "customer_id": self.customer_id,
                    "period": self.period,
                    "service_id": line.service_id,
                    "description": line.description,
                    "quantity": Decimal(1),
                    "unit_price_ht": price,
                    "total_ht": price,
                    "vat_code": self.plan.customer.vat_code,
                    "cost_ht": cost,
                    "margin_ht": None if cost is None else price - cost,
                    "run_id": self.run_id,
                    "loaded_at": self.at,
                }
            )
        return rows


def fold(customer_id: str, period: str, events: Iterable[Event]) -> Record:
    record = Record(customer_id, period)
    for event in events:
        record = record.after(event)
    return record


def _amount(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def _intent(record: Record, role: Role, progress: Progress, event: Event) -> None:
    content = event.content
    step = content["step"]
    progress.pending = Pending(step, event.at, content.get("body", ""), progress.finalize_asked)
    if step == FINALIZE:
        progress.finalize_asked = True
        progress.approved_by = content.get("approved_by")


def _outcome(record: Record, role: Role, progress: Progress, event: Event) -> None:
    content = event.content
    step, result, pending = content["step"], content["result"], progress.pending
    progress.pending = None
    if step == CREATE:
        if result == "done":
            made = Progress(invoicing_id=content["invoicing_id"], owner=content["owner"], currency=content["currency"])
            _replace(record, role, made)
        elif result == "lost" and pending is not None:
            record.orphaned.append(f"id unknown, asked for {pending.at}")
    elif step == DELETE:
        if result in ("done", "left"):
            _let_go(record, role, progress)
    elif step == FINALIZE:
        if result in ("not_done", "refused") and pending is not None:
            progress.finalize_asked = pending.asked_before
    elif result == "done" and pending is not None:
        progress.sent[step] = pending.body
    else:
        progress.sent.pop(step, None)
    if result == "refused" and step != DELETE:
        record.progress(role).review = content["detail"]


def _found(record: Record, role: Role, progress: Progress, event: Event) -> None:
    content = event.content
    if content["state"] == "gone":
        if content["review"]:
            progress.review, progress.missing = content["review"], True
        else:
            _let_go(record, role, progress)
        return
    progress.review, progress.missing = content["review"], False
    progress.total_ttc = content["total_ttc"]
    progress.currency = content["currency"]
    if content["state"] == "finalized":
        progress.finalized = True
        progress.number = content["number"]
        progress.finalized_at = content["finalized_at"]


def _downloaded(record: Record, role: Role, progress: Progress, event: Event) -> None:
    progress.pdf_sha256 = event.content["sha256"]


def _let_go(record: Record, role: Role, progress: Progress) -> None:
    if progress.invoicing_id is not None:
        record.orphaned.append(progress.invoicing_id)
    _replace(record, role, Progress())


def _replace(record: Record, role: Role, progress: Progress) -> None:
    if role == "invoice":
        record.invoice = progress
    else:
        record.credit = progress


_APPLY = {"intent": _intent, "outcome": _outcome, "found": _found, "downloaded": _downloaded}
