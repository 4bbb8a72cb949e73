"""The Netwo-style billing hub: the list of invoices of a period, then each invoice's detail.

Only completeness is judged here; what an invoice's lines say is read in normalize/netwo_invoices.py.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from billing_pipeline.config import NetwoSource
from billing_pipeline.errors import SourceError
from billing_pipeline.periods import Period
from billing_pipeline.sources.collection import Collection, Keep, Kept, Received, Role
from billing_pipeline.sources.http import Answer, HttpClient, NotFound

PER_PAGE = 50
# Invoices can arrive while pages are read, which shifts every later page; a listing is then read anew.
LISTING_READS = 3


class Netwo:
    """One operator's invoices as the hub has them."""

    def __init__(self, source: NetwoSource, *, operator_code: str, key: str) -> None:
        self._source = source
        self._hub_code = source.operator_code or operator_code
        self._key = key

    def collect(self, period: Period, keep: Keep) -> Collection:
        source = self._source
        with HttpClient(source.base_url, key=self._key, key_env=source.api_key_env, settings=source.http) as client:
            pages, entries, gaps = self._list(client, period)
            kept = [keep(page) for page in pages]
            with ThreadPoolExecutor(source.http.concurrency) as threads:
                outcomes = list(threads.map(lambda entry: self._detail(client, entry, period, keep), entries))
        for outcome in outcomes:
            if isinstance(outcome, str):
                gaps.append(outcome)
            else:
                kept.append(outcome)
        found = sum(not isinstance(outcome, str) for outcome in outcomes)
        return Collection(tuple(kept), tuple(gaps), {"invoices": _total(pages)}, {"invoices": found})

    def _list(self, client: HttpClient, period: Period) -> tuple[list[Received], list[dict[str, Any]], list[str]]:
        """The pages as received, their entries, and what is missing from them after the last try."""
        pages: list[Received] = []
        entries: list[dict[str, Any]] = []
        gaps: list[str] = []
        for _ in range(LISTING_READS):
            pages, entries, gaps = self._read_pages(client, period)
            if not gaps:
                break
        return pages, entries, gaps

    def _read_pages(self, client: HttpClient, period: Period) -> tuple[list[Received], list[dict[str, Any]], list[str]]:
        pages: list[Received] = []
        entries: dict[str, dict[str, Any]] = {}
        gaps: list[str] = []
        total: int | None = None
        read = 0
        while total is None or read < total:
            params: dict[str, str | int] = {
                "period": str(period), "operatorCode": self._hub_code, "page": len(pages) + 1, "perPage": PER_PAGE,
            }  # fmt: skip
            answer, document = client.get_json("/v1/billing/invoices", params)
            listed, declared = _page(answer, document)
            pages.append(_as_page(answer, params, declared))
            if total is not None and declared != total:
                gaps.append(f"{answer.url}: the total changed from {total} to {declared} while pages were read")
            total = declared
            if not listed:
                break
            read += len(listed)
            for entry in listed:
                gaps.extend(self._place(entry, entries, answer, period))
        if len(entries) != total:
            gaps.append(f"the list of invoices declares {total}, {len(entries)} arrived")
        return pages, list(entries.values()), gaps

    def _place(
        self, entry: dict[str, Any], entries: dict[str, dict[str, Any]], answer: Answer, period: Period
    ) -> list[str]:
        """Put one listed invoice among the others; what is wrong with it otherwise."""
        invoice_id = entry.get("invoiceId")
        if not isinstance(invoice_id, str) or not invoice_id.strip():
            return [f"{answer.url}: an entry of 'invoices' has no invoiceId"]
        operator = entry.get("operator")
        code = operator.get("code") if isinstance(operator, Mapping) else None
        if entry.get("period") != str(period) or code != self._hub_code:
            return [f"{answer.url}: invoice {invoice_id} is of {code} {entry.get('period')}, which was not asked for"]
        if invoice_id in entries:
            return [f"{answer.url}: invoice {invoice_id} is listed twice"]
        entries[invoice_id] = entry
        return []

    def _detail(self, client: HttpClient, entry: dict[str, Any], period: Period, keep: Keep) -> Kept | str:
        """The invoice's document, or the line that says why there is none."""
        invoice_id = entry["invoiceId"]
        path = f"/v1/billing/invoices/{quote(invoice_id, safe='')}"
        try:
            answer, document = client.get_json(path)
        except NotFound as missing:
            return f"invoice {invoice_id} is listed but has no detail ({missing})"
        kept = keep(
            Received(
                role=Role.NETWO_INVOICE,
                name=invoice_id,
                location=answer.url,
                media_type=answer.media_type,
                extension="json",
                content=answer.body,
                declared_count=_line_count(entry),
                request={"method": "GET", "url": answer.url},
                response_headers=dict(answer.headers),
            )
        )
        if not isinstance(document, dict) or document.get("invoiceId") != invoice_id:
            return f"{answer.url}: the answer is not invoice {invoice_id}"
        if document.get("period", str(period)) != str(period):
            return f"{answer.url}: invoice {invoice_id} says period {document.get('period')}, the list says {period}"
        return kept


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
    return Received(
        role=Role.NETWO_LISTING,
        name=f"invoices page {params['page']}",
        location=answer.url,
        media_type=answer.media_type,
        extension="json",
        content=answer.body,
        declared_count=declared,
        request={"method": "GET", "url": answer.url},
        response_headers=dict(answer.headers),
    )


def _total(pages: list[Received]) -> int:
    return (pages[-1].declared_count or 0) if pages else 0


def _line_count(entry: Mapping[str, Any]) -> int | None:
    count = entry.get("lineCount")
    return count if isinstance(count, int) and not isinstance(count, bool) else None
