"""What a source hands over for one period: documents as received, and evidence that they are all there."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from billing_pipeline.periods import Period


class Role(StrEnum):
    """What a document is for, which decides who reads it."""

    R189_CHARGES = "r189_charges"
    NETWO_LISTING = "netwo_listing"
    NETWO_INVOICE = "netwo_invoice"
    SERVICES = "services"
    SERVICE_PRICES = "service_prices"
    EXPECTED_CHARGES = "expected_charges"


INVENTORY_ROLES = (Role.SERVICES, Role.SERVICE_PRICES, Role.EXPECTED_CHARGES)


@dataclass(frozen=True, slots=True)
class Received:
    """One document as it came: its bytes (or the local file that holds them) and where they are from.

    `location` is a URL or path without secrets; `created_at` an ISO instant where the source states one;
    `declared_count` the records the source declares for it.
    """

    role: Role
    name: str
    location: str
    media_type: str
    extension: str
    content: bytes | Path
    created_at: str | None = None
    declared_count: int | None = None
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


Keep = Callable[[Received], Kept]


@dataclass(frozen=True, slots=True)
class Collection:
    """The outcome for one period. It is complete when `gaps` is empty; a gap is one line naming what is missing."""

    documents: tuple[Kept, ...]
    gaps: tuple[str, ...]
    declared: dict[str, int]
    collected: dict[str, int]


class Source(Protocol):
    """One operator's protocol."""

    def collect(self, period: Period, keep: Keep) -> Collection:
        """Everything the operator has for `period`, kept before it is used. SourceError when it cannot be asked."""
        ...
