"""Which service a line is about. Keys and tiers only; no amount is looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from billing_pipeline.config import MatchKey
from billing_pipeline.periods import Period
from billing_pipeline_tests.reference.expectation import active_days
from billing_pipeline_tests.reference.records import Line, Service


@dataclass(frozen=True)
class Resolution:
    """`service` where exactly one is meant; `tier` that decided; both None where no tier has a hit."""

    service: Service | None
    tier: str | None

    @property
    def is_ambiguous(self) -> bool:
        return self.service is None and self.tier is not None


def comparable(key: str | None) -> str | None:
    """A key as it is compared: trimmed, case-folded; blank is no key."""
    if key is None or not key.strip():
        return None
    return key.strip().casefold()


def resolve(line: Line, services: Sequence[Service], period: Period, match_on: Sequence[MatchKey]) -> Resolution:
    """The first tier at which the line has a value and some service has the same decides."""
    for tier in match_on:
        value = comparable(getattr(line, tier.value))
        if value is None:
            continue
        hits = [service for service in services if comparable(getattr(service, tier.value)) == value]
        if not hits:
            continue
        if len(hits) == 1:
            return Resolution(hits[0], tier.value)
        active = [service for service in hits if active_days(service, period)]
        return Resolution(active[0] if len(active) == 1 else None, tier.value)
    return Resolution(None, None)


def carries_a_key_of(service: Service, keys: Mapping[str, str | None], match_on: Sequence[MatchKey]) -> bool:
    """Whether a rejected row (its keys by name) carries one of the service's keys, in any tier the profile uses."""
    for tier in match_on:
        value = comparable(keys.get(tier.value))
        if value is not None and value == comparable(getattr(service, tier.value)):
            return True
    return False
