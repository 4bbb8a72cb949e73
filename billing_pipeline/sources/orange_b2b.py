"""One operator's month from the Orange Billing for Business API: its bills, their PDFs, its R189 charge reports.

What is offered and for which period stands in orange_offer.py, how a file reaches us in orange_delivery.py. What a
bill or a row says is read in normalize/ and r189/.
"""

import datetime as dt
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from billing_pipeline.config import OrangeSource
from billing_pipeline.errors import one_line
from billing_pipeline.periods import Period
from billing_pipeline.sources.authorization import ClientCredentials, Credentials
from billing_pipeline.sources.collection import Collection, Keep, Kept, Received, Role, path_segment
from billing_pipeline.sources.fan_out import fan_out
from billing_pipeline.sources.http import HttpClient
from billing_pipeline.sources.http_answer import NotFound, WrongDocument
from billing_pipeline.sources.orange_api import OrangeApi
from billing_pipeline.sources.orange_delivery import Deliveries, Delivery
from billing_pipeline.sources.orange_offer import FileNaming, Offer, bill_period, created_at, read_offer

_EXTENSION = re.compile(r"[a-z0-9]{1,10}")
_ACCEPT = {"csv": "text/csv", "pdf": "application/pdf", "zip": "application/zip", "json": "application/json"}


@dataclass(slots=True)
class _Part:
    """What one piece of the month's work brought."""

    kept: list[Kept] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class OrangeB2B:
    """One account. Its listing and its token serve every period that is asked for until `close`."""

    def __init__(self, source: OrangeSource, *, credentials: Credentials, naming: FileNaming) -> None:
        self._workers = 2 * source.http.concurrency
        self._naming = naming
        self._client = HttpClient(
            source.base_url, authorization=ClientCredentials(source.token_url, credentials), settings=source.http
        )
        self._api = OrangeApi(self._client)
        self._deliveries = Deliveries(self._api, source.drop_folder)
        self._lock = threading.Lock()
        self._offer: Offer | None = None

    def close(self) -> None:
        self._client.close()
        self._deliveries.close()

    def collect(self, period: Period, keep: Keep) -> Collection:
        offer = self._offered()
        kept = [keep(_as_page(name, answer)) for name, answer in offer.pages]
        work: list[Callable[[], _Part]] = []
        for name in offer.bills_of(period):
            work.append(partial(self._bill, name, period, keep))
            work.append(partial(self._bill_pdf, name, keep))
        work.extend(partial(self._charges, offer, name, keep) for name in offer.charges_of(period))
        work.extend(partial(self._other, offer, name, keep) for name in offer.others_of(period))
        parts = fan_out(lambda task: task(), work, workers=self._workers)
        for part in parts:
            kept.extend(part.kept)
        self._keep_unplaced(offer, keep)
        by_role = {role: [one for one in kept if one.role is role] for role in Role}
        bills, charges = by_role[Role.ORANGE_BILL], by_role[Role.R189_CHARGES]
        return Collection(
            documents=tuple(self._each_content_once(kept)),
            gaps=(*offer.gaps, *(gap for part in parts for gap in part.gaps)),
            declared={
                **{f"{name}_listed": total for name, total in offer.totals.items()},
                "bills": len(offer.bills_of(period)),
                "reports": len(offer.charges_of(period)),
            },
            collected={
                "bills_listed": len(offer.bills),
                "reports_listed": len(offer.reports),
                "bills": len(bills),
                "reports": len(charges),
            },
            notes=(*offer.notes, *(note for part in parts for note in part.notes)),
        )

    def _offered(self) -> Offer:
        """Listed once; a listing that lacks something is read anew for the next period."""
        with self._lock:
            self._deliveries.open()
            if self._offer is None or self._offer.gaps:
                self._offer = read_offer(self._api, self._deliveries, self._naming, workers=self._workers)
            return self._offer

    def _bill(self, name: str, period: Period, keep: Keep) -> _Part:
        named = one_line(name)
        if path_segment(name) is None:
            return _Part(gaps=[f"bill {named} cannot be asked for: its id is no name; ask the operator to correct it"])
        try:
            answer, bill = self._api.detail("bills", name)
        except NotFound as missing:
            return _Part(gaps=[f"bill {named} is listed but has no detail ({missing})"])
        except WrongDocument as wrong:
            return _Part(gaps=[str(wrong)])
        document = keep(
            Received(
                role=Role.ORANGE_BILL,
                name=name,
                location=answer.url,
                media_type=answer.media_type,
                extension="json",
                content=answer.body,
                created_at=_created_text(bill),
                request=answer.request,
                response_headers=dict(answer.headers),
            )
        )
        says = bill_period(bill)
        if says is not None and says != period:
            return _Part(gaps=[f"{answer.url}: bill {named} says {says}, the list says {period}; run the period again"])
        return _Part(kept=[document])

    def _bill_pdf(self, name: str, keep: Keep) -> _Part:
        """The voucher beside the invoice: kept for the books, read by nobody, so its absence is noted."""
        delivery = self._deliveries.file("bills", name, "application/pdf")
        if isinstance(delivery, str):
            return _Part(notes=[f"the PDF of bill {one_line(name)} is not kept: {delivery}"])
        document = _kept(delivery, keep, role=Role.ORANGE_BILL_PDF, name=f"{name}.pdf", extension="pdf")
        delivery.discard()
        return _Part(kept=[document])

    def _charges(self, offer: Offer, name: str, keep: Keep) -> _Part:
        report = offer.reports[name]
        delivery = offer.fetched.get(name) or self._deliveries.charges(report, name)
        if isinstance(delivery, str):
            return _Part(gaps=[delivery])
        extension = "csv.gz" if delivery.name.endswith(".gz") else "csv"
        document = _kept(
            delivery,
            keep,
            role=Role.R189_CHARGES,
            name=delivery.name,
            extension=extension,
            created_at=_created_text(report),
            declared_ids=_bill_ids(report),
        )
        if name not in offer.fetched:
            delivery.discard()
        return _Part(kept=[document])

    def _other(self, offer: Offer, name: str, keep: Keep) -> _Part:
        report, named = offer.reports[name], one_line(name)
        extension = name.rpartition(".")[2].casefold()
        extension = extension if "." in name and _EXTENSION.fullmatch(extension) else "bin"
        kind = one_line(report.get("type") or "none")
        delivery = self._deliveries.file("reports", name, _ACCEPT.get(extension, "*/*"))
        if isinstance(delivery, str):
            return _Part(notes=[f"report {named} is of unknown type {kind} and could not be kept: {delivery}"])
        document = _kept(
            delivery, keep, role=Role.ORANGE_REPORT, name=name, extension=extension, created_at=_created_text(report)
        )
        delivery.discard()
        return _Part(kept=[document], notes=[f"report {named} is of unknown type {kind}: kept, and not read"])

    def _keep_unplaced(self, offer: Offer, keep: Keep) -> None:
        """Charge files whose month cannot be told are kept too, beside every period they may belong to."""
        for name, delivery in offer.fetched.items():
            if offer.report_periods[name] is None:
                extension = "csv.gz" if delivery.name.endswith(".gz") else "csv"
                created = _created_text(offer.reports[name])
                _kept(delivery, keep, role=Role.R189_CHARGES, name=name, extension=extension, created_at=created)

    def _each_content_once(self, kept: list[Kept]) -> list[Kept]:
        """The same bytes under two names are one document, under the greater name."""
        ordered = sorted(kept, key=lambda one: (self._naming.stem_order(one.name), one.name))
        return list({(one.role, one.sha256): one for one in ordered}.values())


def _kept(
    delivery: Delivery,
    keep: Keep,
    *,
    role: Role,
    name: str,
    extension: str,
    created_at: str | None = None,
    declared_ids: tuple[str, ...] = (),
) -> Kept:
    return keep(
        Received(
            role=role,
            name=name,
            location=delivery.location,
            media_type=delivery.media_type,
            extension=extension,
            content=delivery.content,
            created_at=created_at,
            declared_ids=declared_ids,
            request=delivery.request,
            response_headers=delivery.headers,
        )
    )


def _as_page(name: str, answer: Any) -> Received:
    total = answer.headers.get("x-total-count", "")
    return Received(
        role=Role.ORANGE_LISTING,
        name=name,
        location=answer.url,
        media_type=answer.media_type,
        extension="json",
        content=answer.body,
        declared_count=int(total) if total.isascii() and total.isdigit() else None,
        request=answer.request,
        response_headers=dict(answer.headers),
    )


def _created_text(record: dict[str, Any]) -> str | None:
    """The instant of creation in one spelling, so that two of them compare as text."""
    instant = created_at(record)
    return None if instant is None else instant.astimezone(dt.UTC).isoformat(timespec="microseconds")


def _bill_ids(report: dict[str, Any]) -> tuple[str, ...]:
    stated = report.get("billIds")
    return tuple(str(one) for one in stated) if isinstance(stated, list) else ()
