"""All that the Orange API offers an account, listed once per run, and the period each bill and report belongs to.

A bill: its `period`, else the month before that of its `createdAt` in Paris (an invoice for March arrives in April).
A report: its `period`, else the month in its name, else its rows' Charge Month where they agree.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from billing_pipeline.errors import RefusedFile, one_line
from billing_pipeline.periods import PARIS, Period
from billing_pipeline.sources.collection import path_segment
from billing_pipeline.sources.fan_out import fan_out
from billing_pipeline.sources.http_answer import Answer, NotFound, WrongDocument
from billing_pipeline.sources.orange_api import LISTING_READS, Listing, OrangeApi
from billing_pipeline.sources.orange_delivery import Deliveries, Delivery

R189 = "r189"


@dataclass(frozen=True, slots=True)
class FileNaming:
    """What file names and rows say, which is decided elsewhere; each may raise RefusedFile."""

    period_in_name: Callable[[str], Period | None]
    period_by_rows: Callable[[Path, str], Period]
    stem_order: Callable[[str], tuple[object, ...]]


@dataclass(slots=True)
class Offer:
    """Records by id. A bill or report whose period is None belongs to no month that could be told.

    `gaps` make every period incomplete. `fetched` holds the files that had to be read to learn their month.
    """

    pages: list[tuple[str, Answer]] = field(default_factory=list)
    bills: dict[str, dict[str, Any]] = field(default_factory=dict)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    bill_periods: dict[str, Period | None] = field(default_factory=dict)
    report_periods: dict[str, Period | None] = field(default_factory=dict)
    fetched: dict[str, Delivery] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def bills_of(self, period: Period) -> list[str]:
        return [one for one, placed in self.bill_periods.items() if placed == period]

    def charges_of(self, period: Period) -> list[str]:
        return [
            one for one, placed in self.report_periods.items() if placed == period and is_charges(self.reports[one])
        ]

    def others_of(self, period: Period) -> list[str]:
        """Reports of unknown types; those of no month that could be told are every month's."""
        return [
            one
            for one, placed in self.report_periods.items()
            if placed in (period, None) and not is_charges(self.reports[one])
        ]


def read_offer(api: OrangeApi, deliveries: Deliveries, naming: FileNaming, *, workers: int) -> Offer:
    """List bills and reports, compare the counters, place each record."""
    offer = Offer()
    found: list[Listing] = []
    listing: list[Callable[[], None]] = [
        lambda: _list_bills(api, offer),
        lambda: found.append(api.listing("reports")),
    ]
    fan_out(lambda task: task(), listing, workers=len(listing))
    reports = found[0]
    _take(offer, "reports", reports)
    offer.gaps.extend(reports.gaps)
    offer.reports = reports.records
    _place_bills(api, offer, workers)
    _place_reports(deliveries, offer, naming, workers)
    return offer


def is_charges(report: Mapping[str, Any]) -> bool:
    """An R189 report says so in its type or, as its id is its file name, there."""
    return R189 in f"{report.get('type') or ''} {report.get('id') or ''}".casefold()


def created_at(record: Mapping[str, Any]) -> dt.datetime | None:
    """The instant of creation; without an offset it is UTC, as in the guide's examples."""
    stated = record.get("createdAt")
    if not isinstance(stated, str):
        return None
    try:
        instant = dt.datetime.fromisoformat(stated.strip())
    except ValueError:
        return None
    # The first and the last year there are have days that no other time zone can say.
    if not dt.MINYEAR < instant.year < dt.MAXYEAR:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)


def bill_period(bill: Mapping[str, Any]) -> Period | None:
    return _stated_period(bill) or _month_before_creation(bill)


def _list_bills(api: OrangeApi, offer: Offer) -> None:
    """The bills and, meanwhile, their counters by type; both read again while they disagree."""
    for _ in range(LISTING_READS):
        with ThreadPoolExecutor(1, thread_name_prefix="collecting") as beside:
            counting = beside.submit(_counters, api)
            bills = api.listing("bills")
        counted = counting.result()
        if counted is None:
            offer.notes.append("the API has no counters (snapshots); only X-Total-Count was compared")
            _take(offer, "bills", bills)
            break
        answer, counters = counted
        differing = _differing(bills, counters)
        offer.pages.clear()
        _take(offer, "bills", bills)
        offer.pages.append(("snapshots by type", answer))
        if not differing:
            break
        bills.gaps.extend(f"{answer.url}: {one}" for one in differing)
    offer.gaps.extend(bills.gaps)
    offer.bills = bills.records


def _counters(api: OrangeApi) -> tuple[Answer, dict[str, int]] | None:
    try:
        return api.snapshot("type")
    except NotFound:
        return None


def _differing(bills: Listing, counters: Mapping[str, int]) -> list[str]:
    listed = Counter(str(bill["type"]) for bill in bills.records.values() if bill.get("type") is not None)
    return [
        f"counts {counters.get(one, 0)} bills of type {one_line(one)}, {listed[one]} are listed"
        for one in sorted({*listed, *counters})
        if counters.get(one, 0) != listed[one]
    ]


def _take(offer: Offer, name: str, listing: Listing) -> None:
    offer.pages.extend((f"{name} page {number}", page) for number, page in enumerate(listing.pages, start=1))
    offer.totals[name] = listing.total


def _place_bills(api: OrangeApi, offer: Offer, workers: int) -> None:
    for name, bill in offer.bills.items():
        offer.bill_periods[name] = bill_period(bill)
    untold = [name for name, period in offer.bill_periods.items() if period is None and path_segment(name) is not None]
    # A list may show less than the detail does: the guide's own example shows createdAt only there.
    details = fan_out(lambda name: _detail(api, name), untold, workers=workers)
    for name, detail in zip(untold, details, strict=True):
        offer.bill_periods[name] = bill_period(detail)
    offer.gaps.extend(
        f"bill {one_line(name)} has neither 'period' nor 'createdAt', so that its month cannot be told"
        for name, period in offer.bill_periods.items()
        if period is None
    )


def _detail(api: OrangeApi, name: str) -> dict[str, Any]:
    """Empty where the answer is about something else: then the bill's month cannot be told."""
    try:
        return api.detail("bills", name)[1]
    except WrongDocument:
        return {}


def _place_reports(deliveries: Deliveries, offer: Offer, naming: FileNaming, workers: int) -> None:
    untold = []
    for name, report in offer.reports.items():
        charges = is_charges(report)
        try:
            period = _stated_period(report) or naming.period_in_name(name)
        except RefusedFile as refusal:
            period = None
            if charges:
                offer.gaps.append(str(refusal))
        else:
            if period is None and charges:
                untold.append(name)
            elif period is None:
                period = _month_before_creation(report)
        offer.report_periods[name] = period
    fetched = fan_out(lambda name: deliveries.charges(offer.reports[name], name), untold, workers=workers)
    for name, delivery in zip(untold, fetched, strict=True):
        if isinstance(delivery, str):
            offer.gaps.append(delivery)
            continue
        offer.fetched[name] = delivery
        try:
            offer.report_periods[name] = naming.period_by_rows(deliveries.as_file(delivery), name)
        except RefusedFile as refusal:
            offer.gaps.append(str(refusal))


def _stated_period(record: Mapping[str, Any]) -> Period | None:
    stated = record.get("period")
    if not isinstance(stated, str):
        return None
    try:
        return Period.parse(stated.strip())
    except ValueError:
        return None


def _month_before_creation(record: Mapping[str, Any]) -> Period | None:
    instant = created_at(record)
    return None if instant is None else Period.of(instant.astimezone(PARIS).date()).shift(-1)
