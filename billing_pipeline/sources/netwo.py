"""The Netwo-style billing hub: the list of invoices of a period, each invoice's detail, and the hub's own verdicts.

Only completeness is judged here; what an invoice's lines say is read in normalize/netwo_invoices.py, what the hub's
verdicts say in normalize/netwo_verdicts.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from billing_pipeline.config import NetwoSource
from billing_pipeline.errors import SourceError, SourceRefused, one_line
from billing_pipeline.periods import Period
from billing_pipeline.schemas.columns import LONGEST_KEY
from billing_pipeline.sources.authorization import BearerKey
from billing_pipeline.sources.collection import Collection, Keep, Kept, Received, Role, path_segment
from billing_pipeline.sources.fan_out import fan_out
from billing_pipeline.sources.http import HttpClient
from billing_pipeline.sources.http_answer import Answer, NotFound

PER_PAGE = 50
# Invoices can arrive while pages are read, which shifts every later page; a listing is then read anew.
LISTING_READS = 3


@dataclass(slots=True)
class _Listing:
    """One reading of the list: its pages as received, its entries by invoiceId, and what is missing from them."""

    pages: list[Received] = field(default_factory=list)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    total: int = 0


class Netwo:
    """One operator's invoices as the hub has them."""

    def __init__(self, source: NetwoSource, *, operator_code: str, key: str) -> None:
        self._http = source.http
        self._hub_code = source.operator_code or operator_code
        self._client = HttpClient(
            source.base_url, authorization=BearerKey(key, source.api_key_env), settings=source.http
        )

    def close(self) -> None:
        self._client.close()

    def collect(self, period: Period, keep: Keep) -> Collection:
        listing = self._list(period)
        notes: list[str] = []
        kept = [keep(page) for page in listing.pages]
        verdicts: list[Received] = []
        work: list[Callable[[], Kept | str | None]] = [partial(self._verdicts, period, verdicts, notes)]
        work.extend(partial(self._detail, entry, period, keep) for entry in listing.entries.values())
        # Twice as many workers as requests at once: while one keeps its document on disk, another asks.
        outcomes = fan_out(lambda task: task(), work, workers=2 * self._http.concurrency)
        gaps = [*listing.gaps, *(outcome for outcome in outcomes if isinstance(outcome, str))]
        invoices = [outcome for outcome in outcomes if isinstance(outcome, Kept)]
        kept.extend(invoices)
        kept.extend(keep(received) for received in verdicts)
        return Collection(
            tuple(kept), tuple(gaps), {"invoices": listing.total}, {"invoices": len(invoices)}, tuple(notes)
        )

    def _list(self, period: Period) -> _Listing:
        """The list, read again while it changes."""
        for _ in range(LISTING_READS):
            listing = self._read_pages(period)
            if not listing.gaps:
                break
        return listing

    def _read_pages(self, period: Period) -> _Listing:
        found = _Listing()
        read = 0
        while not found.pages or read < found.total:
            params: dict[str, str | int] = {
                "period": str(period), "operatorCode": self._hub_code, "page": len(found.pages) + 1, "perPage": PER_PAGE,
            }  # fmt: skip
            answer, document = self._client.get_json("/v1/billing/invoices", params)
            listed, declared = _page(answer, document)
            if found.pages and declared != found.total:
                found.gaps.append(
                    f"{answer.url}: the total changed from {found.total} to {declared} while pages were read"
                )
            found.total = declared
            found.pages.append(_as_page(answer, params, declared))
            read += len(listed)
            known = len(found.entries)
            for entry in listed:
                found.gaps.extend(self._place(entry, found.entries, answer, period))
            # A hub that repeats one page for ever would otherwise be asked until its total is reached.
            if not listed or len(found.entries) == known:
                break
        if len(found.entries) != found.total:
            found.gaps.append(f"the list of invoices declares {found.total}, {len(found.entries)} arrived")
        return found

    def _place(
        self, entry: dict[str, Any], entries: dict[str, dict[str, Any]], answer: Answer, period: Period
    ) -> list[str]:
        """Put one listed invoice among the others; what is wrong with it otherwise."""
        invoice_id = entry.get("invoiceId")
        if not isinstance(invoice_id, str) or not invoice_id.strip():
            return [f"{answer.url}: an entry of 'invoices' has no invoiceId"]
        named = one_line(invoice_id)
        operator = entry.get("operator")
        code = operator.get("code") if isinstance(operator, Mapping) else None
        if entry.get("period") != str(period) or code != self._hub_code:
            told = one_line(f"{code} {entry.get('period')}")
            return [f"{answer.url}: invoice {named} is of {told}, which was not asked for"]
        if invoice_id in entries:
            return [f"{answer.url}: invoice {named} is listed twice"]
        if len(invoice_id) > LONGEST_KEY:
            return [
                f"{answer.url}: invoice {named} has an id of more than {LONGEST_KEY} characters; ask for a shorter one"
            ]
        entries[invoice_id] = entry
        return []

    def _detail(self, entry: dict[str, Any], period: Period, keep: Keep) -> Kept | str:
        """The invoice's document, or the line that says why there is none."""
        invoice_id = entry["invoiceId"]
        named, segment = one_line(invoice_id), path_segment(invoice_id)
        if segment is None:
            return f"invoice {named} cannot be asked for: its id is no name; ask the hub to correct it"
        try:
            answer, document = self._client.get_names(f"/v1/billing/invoices/{segment}")
        except NotFound as missing:
            return f"invoice {named} is listed but has no detail ({missing})"
        kept = keep(_received(answer, Role.NETWO_INVOICE, invoice_id, declared=_line_count(entry)))
        if not isinstance(document, dict) or document.get("invoiceId") != invoice_id:
            return f"{answer.url}: the answer is not invoice {named}"
        if document.get("period", str(period)) != str(period):
            told = one_line(document.get("period"))
            return f"{answer.url}: invoice {named} says period {told}, the list says {period}"
        return kept

    def _verdicts(self, period: Period, found: list[Received], notes: list[str]) -> None:
        """The hub's own reconciliation: a cross-check, so that a hub without a usable one is noted and no more."""
        params = {"period": str(period), "operatorCode": self._hub_code}
        try:
            answer, document = self._client.get_json("/v1/billing/reconciliation", params)
        except SourceRefused as refusal:
            notes.append(f"the hub's own reconciliation is not compared: {refusal}")
            return
        items = document.get("items") if isinstance(document, dict) else None
        if not isinstance(items, list) or document.get("period") != str(period):
            notes.append(f"the hub's own reconciliation is not compared: {answer.url} has no 'items' of {period}")
            return
        summary = document.get("summary")
        total = summary.get("totalServices") if isinstance(summary, Mapping) else None
        declared = total if isinstance(total, int) and not isinstance(total, bool) else None
        found.append(_received(answer, Role.NETWO_RECONCILIATION, f"reconciliation {period}", declared=declared))


def _page(answer: Answer, document: Any) -> tuple[list[dict[str, Any]], int]:
    """The entries and the declared total of one page; SourceError naming the field when either is absent."""
    invoices = document.get("invoices") if isinstance(document, dict) else None
    if not isinstance(invoices, list) or not all(isinstance(entry, dict) for entry in invoices):
        raise SourceError(f"GET {answer.url}: the answer has no list 'invoices'; is base_url the hub's?")
    pagination = document.get("pagination")
    total = pagination.get("total") if isinstance(pagination, dict) else None
    if not isinstance(total, int) or isinstance(total, bool) or total < 0:
        raise SourceError(f"GET {answer.url}: 'pagination.total' is missing, so completeness cannot be told")
    return invoices, total


def _as_page(answer: Answer, params: Mapping[str, str | int], declared: int) -> Received:
    return _received(answer, Role.NETWO_LISTING, f"invoices page {params['page']}", declared=declared)


def _received(answer: Answer, role: Role, name: str, *, declared: int | None = None) -> Received:
    return Received(
        role=role,
        name=name,
        location=answer.url,
        media_type=answer.media_type,
        extension="json",
        content=answer.body,
        declared_count=declared,
        request=answer.request,
        response_headers=dict(answer.headers),
    )


def _line_count(entry: Mapping[str, Any]) -> int | None:
    count = entry.get("lineCount")
    return count if isinstance(count, int) and not isinstance(count, bool) else None
