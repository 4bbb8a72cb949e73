"""What a source hands over for one period: documents as received, and evidence that they are all there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from billing_pipeline.periods import Period


class Role(StrEnum):
    """What a document is for, which decides who reads it."""

    R189_CHARGES = "r189_charges"
    NETWO_LISTING = "netwo_listing"
    NETWO_INVOICE = "netwo_invoice"
    NETWO_RECONCILIATION = "netwo_reconciliation"
    ORANGE_LISTING = "orange_listing"
    ORANGE_BILL = "orange_bill"
    ORANGE_BILL_PDF = "orange_bill_pdf"
    ORANGE_REPORT = "orange_report"
    SERVICES = "services"
    SERVICE_PRICES = "service_prices"
    EXPECTED_CHARGES = "expected_charges"
    PAYMENTS = "payments"
    DISPUTES = "disputes"


INVENTORY_ROLES = (Role.SERVICES, Role.SERVICE_PRICES, Role.EXPECTED_CHARGES)
CLAIM_ROLES = (Role.PAYMENTS, Role.DISPUTES)
# Evidence and vouchers, whose bytes change without any line or verdict changing: a listing gains other months' entries,
# a PDF is made anew for each download, a report of an unknown type is not read, payments and disputes have tables of
# their own (steps/claims.py).
UNREAD_ROLES = frozenset({Role.ORANGE_LISTING, Role.ORANGE_BILL_PDF, Role.ORANGE_REPORT, *CLAIM_ROLES})
# No line or verdict rests on these, so a source that fails to hand one over is complete without it, and a note says so.
BESIDE_ROLES = frozenset({Role.NETWO_RECONCILIATION, Role.ORANGE_BILL_PDF, Role.ORANGE_REPORT})


@dataclass(frozen=True, slots=True)
class Received:
    """One document as it came: its bytes (or the local file that holds them) and where they are from.

    `location` is a URL or path without secrets; `created_at` an ISO instant where the source states one;
    `declared_count` the records the source declares for it, `declared_ids` the ids of what it declares to be in it.
    """

    role: Role
    name: str
    location: str
    media_type: str
    extension: str
    content: bytes | Path
    created_at: str | None = None
    declared_count: int | None = None
    declared_ids: Sequence[str] = ()
    request: dict[str, Any] = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """A document that is now stored: what a manifest lists and a reader opens."""

    role: Role
    sha256: str
    extension: str
    name: str
    location: str
    media_type: str
    bytes: int
    fetched_at: str
    created_at: str | None = None
    declared_count: int | None = None
    declared_ids: Sequence[str] = ()


Keep = Callable[[Received], Kept]


@dataclass(frozen=True, slots=True)
class Collection:
    """The outcome for one period. It is complete when `gaps` is empty; a gap is one line naming what is missing.

    A note is one line too, about what was kept or left out without making the period incomplete.
    """

    documents: tuple[Kept, ...]
    gaps: tuple[str, ...]
    declared: dict[str, int]
    collected: dict[str, int]
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """One operator's protocol. What it learnt for one period it may use for the next, until it is closed."""

    def collect(self, period: Period, keep: Keep) -> Collection:
        """Everything the operator has for `period`, kept before it is used. SourceError when it cannot be asked."""
        ...

    def close(self) -> None:
        """Let go of connections and scratch files."""
        ...


def path_segment(identifier: str) -> str | None:
    """An id as one segment of a URL's path; None for one that no escaping keeps from meaning another place."""
    try:
        return None if identifier in ("", ".", "..") else quote(identifier, safe="")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell and UTF-8 cannot
        return None
