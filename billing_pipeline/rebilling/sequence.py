"""The order of calls for one customer's invoice: draft, lines, general informations, timeline, check, finalize, PDF.

It starts from whatever the record says and the API confirms, so that any crash or timeout is resumed by running it again.
A finalized invoice is only ever read and downloaded.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from billing_pipeline.errors import SourceError
from billing_pipeline.periods import PARIS
from billing_pipeline.rebilling.api import CustomerInvoicing
from billing_pipeline.rebilling.books import Books
from billing_pipeline.rebilling.calls import Calls
from billing_pipeline.rebilling.documents import (
    Document,
    disagreement,
    euros,
    informations_body,
    lines_body,
    timeline_body,
)
from billing_pipeline.rebilling.plan import PlannedInvoice
from billing_pipeline.rebilling.record import ROLES, Record


@dataclass(frozen=True, slots=True)
class Finalization:
    """Leave to finalize: whose it is stands on the record."""

    approved_by: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """What the customers of one period have in common. `pdfs` is the period's folder, `now` the clock."""

    books: Books
    api: CustomerInvoicing
    pdfs: Path
    now: Callable[[], dt.datetime]

    def invoice(
        self, customer_id: str, plan: PlannedInvoice | None, finalization: Finalization | None = None
    ) -> Record:
        """Bring the customer's invoice as far as asked; the record then.

        No plan: nothing is to be invoiced, and a draft there is goes. SourceError when the API fails or refuses; what
        was reached stands on the record.
        """
        calls = Calls(self.books, self.api, customer_id, "invoice")
        calls.settle(self._judge(customer_id))
        if calls.progress.finalized:
            self._report_change(customer_id, plan)
            self._keep_pdf(calls)
            return calls.record
        if calls.progress.missing:
            return calls.record
        if plan is None:
            self._withdraw(calls)
            return calls.record
        if calls.record.plan is None or not calls.record.wanted or calls.record.plan.digest != plan.digest:
            self.books.write(customer_id, "planned", {"plan": plan.content()})
        self._draft(calls, plan)
        if finalization is not None and calls.progress.review is None:
            self._finalize(calls, plan, finalization)
        return calls.record

    def settle(self, customer_id: str) -> Record:
        """Only find out how far it has come: for a customer whose invoice cannot be prepared as things stand."""
        calls = Calls(self.books, self.api, customer_id, "invoice")
        calls.settle(self._judge(customer_id))
        if calls.progress.finalized:
            self._keep_pdf(calls)
        return calls.record

    def give_up(self, invoicing_id: str) -> str | None:
        """Whose missing invoice or credit note of this id was given up; None where none is missing."""
        for customer_id in self.books.records:
            for role in ROLES:
                calls = Calls(self.books, self.api, customer_id, role)
                if calls.progress.missing and calls.progress.invoicing_id == invoicing_id:
                    calls.give_up()
                    return customer_id
        return None

    def _judge(self, customer_id: str) -> Callable[[Document], str | None]:
        """Compares a document with what was last planned, and so last sent."""

        def judge(document: Document) -> str | None:
            plan = self.books.record(customer_id).plan
            return None if plan is None else disagreement(document, plan)

        return judge

    def _draft(self, calls: Calls, plan: PlannedInvoice) -> None:
        """A draft that says what the plan says, checked by reading it back."""
        if calls.progress.invoicing_id is not None and calls.progress.owner != plan.customer.invoicing_customer_id:
            calls.delete()
        if calls.progress.invoicing_id is None:
            customer = plan.customer.invoicing_customer_id
            calls.create(lambda: self.api.create(customer), customer)
        if calls.progress.currency not in (None, plan.currency):
            calls.put("currency", {"currency": plan.currency})
        calls.put("lines", lines_body(plan))
        calls.put("informations", informations_body(plan))
        calls.put("timeline", timeline_body(plan, self._today()))
        calls.check(self._judge(plan.customer.customer_id))

    def _finalize(self, calls: Calls, plan: PlannedInvoice, finalization: Finalization) -> None:
        # Midnight may have passed since the draft was dated.
        calls.put("timeline", timeline_body(plan, self._today()))
        calls.finalize(self._judge(plan.customer.customer_id), finalization.approved_by)
        if not calls.progress.finalized:
            raise SourceError("the draft has gone at the invoicing API while it was finalized; run again")
        self._keep_pdf(calls)

    def _keep_pdf(self, calls: Calls) -> None:
        plan = calls.record.plan
        if plan is not None and calls.progress.number is not None:
            calls.download(plan.customer.locale, self.pdfs)

    def _withdraw(self, calls: Calls) -> None:
        if calls.progress.invoicing_id is not None:
            calls.delete()
        if calls.record.wanted:
            self.books.write(calls.record.customer_id, "withdrawn", {})

    def _report_change(self, customer_id: str, plan: PlannedInvoice | None) -> None:
        """Note what would be invoiced today where that differs from the finalized invoice; nothing is sent."""
        record = self.books.record(customer_id)
        detail = None
        if record.plan is not None and (plan is None or plan.invoiced != record.plan.invoiced):
            now = "nothing" if plan is None else f"{euros(plan.total)} {plan.currency} HT"
            detail = (
                f"the period has changed since: {now} would be invoiced today, "
                f"{euros(record.plan.total)} {record.plan.currency} HT was; nothing is sent, a credit note is yours to ask for"
            )
        if detail != record.differs:
            self.books.write(customer_id, "differs", {"detail": detail})

    def _today(self) -> dt.date:
        return self.now().astimezone(PARIS).date()
