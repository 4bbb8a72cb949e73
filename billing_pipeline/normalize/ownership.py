"""Which document an invoice number belongs to when several hold it: a pure function of the kept documents.

Across periods the earlier period's document counts, within one the newer. The others' rows are superseded.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Holding:
    """One document's copy of one invoice. `rank` orders the documents of a period, the newest last."""

    invoice_id: str
    period: str
    sha256: str
    rank: tuple[object, ...] = ()


def owners(holdings: Iterable[Holding]) -> dict[str, Holding]:
    """invoice_id → the holding that counts. Ranks need only be given within one period, where they decide."""
    found: dict[str, Holding] = {}
    for holding in holdings:
        known = found.get(holding.invoice_id)
        if known is None or _counts_before(holding, known):
            found[holding.invoice_id] = holding
    return found


def superseded_by(holdings: Iterable[Holding]) -> dict[tuple[str, str], dict[str, Holding]]:
    """(period, sha256) → {invoice_id it holds in vain: the holding that counts instead}."""
    holdings = list(holdings)
    owner_of = owners(holdings)
    superseded: dict[tuple[str, str], dict[str, Holding]] = defaultdict(dict)
    for holding in holdings:
        owner = owner_of[holding.invoice_id]
        if (owner.period, owner.sha256) != (holding.period, holding.sha256):
            superseded[holding.period, holding.sha256][holding.invoice_id] = owner
    return dict(superseded)


def _counts_before(one: Holding, other: Holding) -> bool:
    if one.period != other.period:
        return one.period < other.period
    return one.rank > other.rank
