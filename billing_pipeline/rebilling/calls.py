"""One call between its intent and its outcome, for an invoice and for a credit note alike: how each answer is written down.

Which call comes next is decided in sequence.py and credit.py.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from billing_pipeline.errors import SourceError, SourceRefused, one_line
from billing_pipeline.rebilling.api import CustomerInvoicing
from billing_pipeline.rebilling.books import Books
from billing_pipeline.rebilling.documents import FINALIZED, Document
from billing_pipeline.rebilling.record import CREATE, DELETE, FINALIZE, Progress, Record, Role
from billing_pipeline.sources.http_answer import NotFound, OutcomeUnknown, Refused
from billing_pipeline.storage.durable import make_directory, move_into_place
from billing_pipeline.storage.keys import file_name_part

# A creation whose answer is lost leaves a draft behind each time, a finalization none: it is asked for on one document.
CREATIONS, FINALIZATIONS = 2, 4
_PAUSE_S = 0.3
# Why a document is not what it should be; None when it is.
Judge = Callable[[Document], str | None]
_NO_KEY = frozenset({401, 403})


class Calls:
    """The calls about one document, `role` of one customer's invoice, each written down before and after."""

    def __init__(self, books: Books, api: CustomerInvoicing, customer_id: str, role: Role) -> None:
        self._books, self._api = books, api
        self._customer_id, self._role = customer_id, role

    @property
    def record(self) -> Record:
        return self._books.record(self._customer_id)

    @property
    def progress(self) -> Progress:
        return self.record.progress(self._role)

    def settle(self, judge: Judge) -> None:
        """Find out what became of the document since it was last written about; afterwards no call is pending.

        A document that has gone makes room for another one, unless it may have been finalized without our knowing.
        """
        pending = self.progress.pending
        if pending is not None and pending.step == CREATE:
            self._outcome(CREATE, "lost")
        if self.progress.invoicing_id is None:
            return
        if self.progress.finalized and self.progress.pending is None and not self.progress.review:
            return
        document = self._read()
        if document is None and self.progress.finalized:
            return  # what was finalized stays so, whichever account's key finds it no more
        if pending is not None and pending.step != CREATE:
            gone = document is None
            self._outcome(pending.step, "done" if gone and pending.step == DELETE else "unknown")
        if document is not None:
            if document.state == FINALIZED or self.progress.review:
                self._found(document, judge)
        elif self.progress.invoicing_id is not None and not self.progress.missing:
            self._gone()

    def give_up(self) -> None:
        """Make room for another document in place of a missing one: somebody has looked, and it was never finalized."""
        self._write("found", state="gone", review=None)

    def _read(self) -> Document | None:
        identifier = self.progress.invoicing_id
        assert identifier is not None
        try:
            return self._api.read(identifier)
        except NotFound:
            return None

    def create(self, ask: Callable[[], tuple[str, str | None]], owner: str) -> None:
        """A new draft. One whose answer is lost is left to itself and listed: its id cannot be known."""
        for attempt in range(1, CREATIONS + 1):
            self._intent(CREATE)
            try:
                identifier, currency = ask()
            except OutcomeUnknown:
                self._outcome(CREATE, "lost")
                if attempt == CREATIONS:
                    raise
                continue
            except SourceError as error:
                self._ended(CREATE, error)
                raise
            self._outcome(CREATE, "done", invoicing_id=identifier, owner=owner, currency=currency)
            return

    def put(self, step: str, body: Mapping[str, Any]) -> None:
        """Send `body` unless the API has just that already."""
        digest = hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
        progress = self.progress
        assert progress.invoicing_id is not None
        if progress.sent.get(step) == digest:
            return
        self._intent(step, body=digest)
        try:
            self._api.put(step, progress.invoicing_id, body)
        except SourceError as error:
            self._ended(step, error)
            raise
        self._outcome(step, "done")

    def check(self, judge: Judge) -> bool:
        """Read the document back; whether it is what it should be."""
        document = self._read()
        if document is None:
            self._gone()
            raise SourceError("the draft has just been deleted at the invoicing API; run again")
        self._found(document, judge)
        return self.progress.review is None

    def finalize(self, judge: Judge, approved_by: str) -> None:
        """Finalize, and settle a lost answer by reading the document's state. SourceError when it stays a draft."""
        last: SourceError | None = None
        for attempt in range(FINALIZATIONS):
            time.sleep(_PAUSE_S * attempt)
            identifier = self.progress.invoicing_id
            assert identifier is not None
            self._intent(FINALIZE, approved_by=approved_by)
            try:
                self._api.finalize(identifier)
            except OutcomeUnknown as error:
                last = error
            except Refused as error:
                # Perhaps because an earlier request has finalized it after all.
                document = None if error.status in _NO_KEY else self._read()
                if document is None or document.state != FINALIZED:
                    self._ended(FINALIZE, error)
                    raise
            except SourceError as error:
                self._ended(FINALIZE, error)
                raise
            self.settle(judge)
            if self.progress.finalized or self.progress.invoicing_id is None or self.progress.review:
                return
        raise last or SourceError(
            "the invoicing API takes the finalization and leaves the document a draft; look at it"
        )

    def delete(self) -> None:
        """Take back a draft; one the API keeps is left and listed. Not one that may have been finalized."""
        identifier = self.progress.invoicing_id
        assert identifier is not None
        self._intent(DELETE)
        try:
            self._api.delete(identifier)
        except NotFound:
            if self.progress.finalize_asked:
                self._outcome(DELETE, "unknown")
                self._gone()
                return
        except Refused as error:
            if error.status in _NO_KEY:
                self._outcome(DELETE, "not_done")
                raise
            # Perhaps because somebody has finalized it there since it was read: then no other may take its place.
            document = self._read()
            if document is not None and document.state == FINALIZED:
                self._outcome(DELETE, "unknown", detail=one_line(error))
                raise SourceError(f"{identifier} has just been finalized at the invoicing API; run again") from None
            self._outcome(DELETE, "unknown" if self.progress.finalize_asked else "left", detail=one_line(error))
            if self.progress.finalize_asked:
                raise
            return
        except SourceError:
            self._outcome(DELETE, "unknown")
            raise
        self._outcome(DELETE, "done")

    def download(self, locale: str, folder: Path) -> Path | None:
        """Keep the PDF of the finalized document in `folder` where it is not yet; its path then."""
        progress = self.progress
        assert progress.invoicing_id is not None
        path = folder / pdf_name(progress)
        if progress.pdf_sha256 is not None and path.is_file():
            return None
        make_directory(folder)
        incoming = folder / f".incoming-{file_name_part(progress.invoicing_id)}.part"
        try:
            digest = self._api.download(progress.invoicing_id, locale, incoming)
            move_into_place(incoming, path)
        finally:
            incoming.unlink(missing_ok=True)
        if digest != progress.pdf_sha256:
            self._write("downloaded", sha256=digest, name=path.name)
        return path

    def _found(self, document: Document, judge: Judge) -> None:
        review = judge(document)
        if document.state == FINALIZED and document.number is None:
            review = "it is finalized and has no number; look at it at the invoicing API"
        if document.number is not None and (other := self._other_with(document.number)):
            review = f"its number {document.number} is also that of {other}; look at both at the invoicing API"
        if self._known(document, review):
            return
        self._write(
            "found", state=document.state, number=document.number, finalized_at=document.finalized_at,
            currency=document.currency, total_ht=document.total_ht, total_ttc=document.total_ttc, review=review,
        )  # fmt: skip

    def _known(self, document: Document, review: str | None) -> bool:
        progress = self.progress
        found = (document.state == FINALIZED, document.number, document.total_ttc, document.currency, review)
        known = (progress.finalized, progress.number, progress.total_ttc, progress.currency, progress.review)
        return found == known

    def _other_with(self, number: str) -> str | None:
        """Another customer's document of the period with the same number: their PDFs would be one file."""
        for customer_id, record in self._books.records.items():
            if customer_id != self._customer_id and number in (record.invoice.number, record.credit.number):
                return customer_id
        return None

    def _gone(self) -> None:
        review = None
        if self.progress.finalize_asked:
            review = (
                f"its finalization was asked for and never answered, and the invoicing API knows no document "
                f"{self.progress.invoicing_id} any more; look for it there, and in the right account"
            )
        self._write("found", state="gone", review=review)

    def _intent(self, step: str, **content: Any) -> None:
        self._write("intent", step=step, invoicing_id=self.progress.invoicing_id, **content)

    def _outcome(self, step: str, result: str, **content: Any) -> None:
        self._write("outcome", step=step, result=result, **content)

    def _ended(self, step: str, error: SourceError) -> None:
        """The outcome of a call that did not succeed: refused for what it asks, not done, or not known."""
        if isinstance(error, Refused) and error.status not in _NO_KEY and not isinstance(error, NotFound):
            self._outcome(step, "refused", detail=f"{step} is refused: {one_line(error)}")
        elif isinstance(error, SourceRefused) or step in (CREATE, FINALIZE):
            self._outcome(step, "not_done")
        else:
            self._outcome(step, "unknown")

    def _write(self, event: str, **content: Any) -> None:
        self._books.write(self._customer_id, event, {"document": self._role, **content})


def pdf_name(progress: Progress) -> str:
    """`<number>.pdf`; a number with characters no file name should have is told apart by the document's id."""
    number = progress.number or ""
    plain = file_name_part(number)
    return f"{number}.pdf" if plain == number else f"{plain}-{file_name_part(progress.invoicing_id or '')[:8]}.pdf"
