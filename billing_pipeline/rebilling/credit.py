"""A credit note (`asset`) for one finalized invoice: asked for by number, made once, never by itself."""

from billing_pipeline.errors import SourceError
from billing_pipeline.rebilling.calls import Calls
from billing_pipeline.rebilling.documents import Document, euros
from billing_pipeline.rebilling.record import Record
from billing_pipeline.rebilling.sequence import Sequence


def make_credit_note(sequence: Sequence, customer_id: str, approved_by: str) -> Record:
    """Draft, check, finalize and download the credit note of the customer's finalized invoice; the record then.

    One that is finalized already is only downloaded where its PDF is missing. SourceError as for an invoice.
    """
    calls = Calls(sequence.books, sequence.api, customer_id, "credit")
    record = calls.record
    invoiced = record.invoice
    assert invoiced.finalized, "found by the number of a finalized invoice"
    assert invoiced.invoicing_id is not None
    identifier = invoiced.invoicing_id

    def judge(document: Document) -> str | None:
        """The same amounts as the invoice; whether a credit note has them with a minus is the API's way of showing it."""
        if document.currency != invoiced.currency:
            return f"it is in {document.currency}, the invoice in {invoiced.currency}"
        original = sequence.api.read(identifier)
        if (abs(document.total_ht), abs(document.total_ttc)) != (original.total_ht, original.total_ttc):
            return (
                f"its totals are {euros(document.total_ht)} HT and {euros(document.total_ttc)} TTC, the invoice's "
                f"{euros(original.total_ht)} and {euros(original.total_ttc)}"
            )
        return None

    calls.settle(judge)
    if not calls.progress.finalized:
        if calls.progress.missing:
            return calls.record
        if calls.progress.invoicing_id is None:
            calls.create(lambda: sequence.api.credit(identifier), identifier)
        if not calls.check(judge):
            return calls.record
        calls.finalize(judge, approved_by)
        if not calls.progress.finalized:
            raise SourceError("the credit note's draft has gone while it was finalized; run again")
    plan = calls.record.plan
    assert plan is not None
    calls.download(plan.customer.locale, sequence.pdfs)
    return calls.record
