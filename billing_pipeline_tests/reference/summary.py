"""Counting a month's items, and what they make of each invoice. No verdict is decided here."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing_pipeline.periods import Period
from billing_pipeline_tests.reference.allocation import share_of
from billing_pipeline_tests.reference.records import Finding, Item, Line, Service

WORST_FIRST = ("DISCREPANCY", "UNMATCHED", "MATCHED")


@dataclass(frozen=True)
class Summary:
    """Counts and amounts of one month; amounts in `currency`, the other currencies met in `other_currencies`."""

    total_services: int
    matched: int
    unmatched: int
    discrepancies: int
    line_items: int
    orphan_lines: int
    orphan_amount: Decimal
    service_amount: Decimal
    invoice_amount: Decimal
    difference: Decimal
    currency: str
    other_currencies: tuple[str, ...]


def main_currency(services: Sequence[Service]) -> str:
    """The currency of most contracts; of equals the first in the alphabet; EUR without a contract."""
    currencies = [service.currency for service in services]
    return min(currencies, key=lambda currency: (-currencies.count(currency), currency), default="EUR")


def summarise(items: Sequence[Item], services: Sequence[Service]) -> Summary:
    main = main_currency(services)
    contract = {service.service_id: service.currency for service in services}
    expected, billed, orphans = Decimal(0), Decimal(0), Decimal(0)
    met: set[str] = set()
    for item in items:
        if item.service_amount is not None and item.service_id is not None:
            met.add(contract[item.service_id])
            expected += item.service_amount if contract[item.service_id] == main else 0
        if item.invoice_amount is not None:
            met.add(item.currency)
            billed += item.invoice_amount if item.currency == main else 0
            if item.side == "line" and item.status == "UNMATCHED" and item.currency == main:
                orphans += item.invoice_amount
    of_services = [item.status for item in items if item.side == "service"]
    of_lines = [item.status for item in items if item.side == "line"]
    return Summary(
        total_services=len(of_services),
        matched=of_services.count("MATCHED"),
        unmatched=of_services.count("UNMATCHED"),
        discrepancies=of_services.count("DISCREPANCY"),
        line_items=len(of_lines),
        orphan_lines=of_lines.count("UNMATCHED"),
        orphan_amount=orphans,
        service_amount=expected,
        invoice_amount=billed,
        difference=billed - expected,
        currency=main,
        other_currencies=tuple(sorted(met - {main})),
    )


def invoice_statuses(
    lines: Sequence[Line], items: Sequence[Item], findings: Sequence[Finding], period: Period
) -> dict[str, str]:
    """Per invoice with days in the period: the worst status of its lines' items; a finding makes it DISCREPANCY."""
    status_of_line = {reference: item.status for item in items for reference in item.invoice_line_ids}
    with_finding = {finding.invoice_id for finding in findings}
    met: dict[str, set[str]] = {}
    for line in lines:
        if share_of(line, period) is not None:
            met.setdefault(line.invoice_id, set()).add(status_of_line[line.reference])
            if line.invoice_id in with_finding:
                met[line.invoice_id].add("DISCREPANCY")
    return {invoice: worst(statuses) for invoice, statuses in sorted(met.items())}


def worst(statuses: set[str]) -> str:
    return next(status for status in WORST_FIRST if status in statuses)
