"""The plain case, in one pass: a service's only recurring line bills what is expected. Nearly every service is one.

What is settled here gets the verdict that verdict.py would give; the rest is handed on. No other rule is known here.
"""

from dataclasses import dataclass
from decimal import Decimal

import ibis
from ibis.expr.types import Table

from billing_pipeline.reconciliation.content import NO_TEXT, as_content
from billing_pipeline.reconciliation.keep import is_empty, keep
from billing_pipeline.reconciliation.match import Attributed, qualified
from billing_pipeline.schemas.tables import RECONCILIATION_ITEMS

# What the rules look at; the rest of a contract is not carried along.
_NEEDED = (
    "service_id", "currency", "monthly_price_ht", "discount_percent", "activated_on", "terminated_on",
    "expected_amount", "active_days", "installed_offer_id", "external_reference", "serial_number", "order_reference",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settled:
    """items: content of RECONCILIATION_ITEMS, MATCHED; shares and services: those the rules are still to be spent on."""

    items: Table
    shares: Table
    services: Table


def settle(attributed: Attributed, services: Table, tolerance_per_line: Decimal) -> Settled:
    """Take out the active services whose one recurring share, in the contract's currency, is within the tolerance."""
    parts = [_with_agreement(part, tolerance_per_line) for part in (attributed.first, attributed.late)]
    crowded = keep(_crowded(ibis.union(*parts)))
    plain = [part.filter(part.agrees).anti_join(crowded, "digest") for part in parts]
    left = [part.filter(~part.agrees) for part in parts]
    left += [part.filter(part.agrees).semi_join(crowded, "digest") for part in parts]
    shares = keep(ibis.union(*left).drop("agrees", "digest"))
    open_services = _open_services(shares, attributed.unbilled, plain)
    needed = services.select(*_NEEDED)
    return Settled(_items(ibis.union(*plain)), shares, keep(needed.semi_join(open_services, "service_id")))


def _open_services(shares: Table, unbilled: Table, plain: list[Table]) -> Table:
    """service_id of every service that is not settled: those of `shares`, and those without a share at all."""
    known = shares.filter(shares.service_id.notnull())
    is_recurring = known.charge_type == "recurring"
    # What has a one-off share here, or none in the first part, may be settled by a recurring share all the same.
    one_off = known.filter(~is_recurring).select("service_id")
    if not is_empty(one_off):
        settled = ibis.union(*[part.select("service_id") for part in plain]).semi_join(one_off, "service_id")
        one_off = one_off.anti_join(settled, "service_id")
    doubtful = unbilled.anti_join(plain[1], "service_id").union(one_off)
    return keep(known.filter(is_recurring).select("service_id").union(doubtful).distinct())


def _with_agreement(shares: Table, tolerance: Decimal) -> Table:
    agrees = (
        (shares.charge_type == "recurring")
        & shares.is_active
        & (shares.currency == shares.contract_currency)
        & ((shares.amount - shares.expected).abs() <= ibis.literal(tolerance, "decimal(38, 6)"))
    )
    return shares.mutate(agrees=ibis.coalesce(agrees, False), digest=shares.service_id.hash())


def _crowded(shares: Table) -> Table:
    """Digests of services with more than one recurring share; by chance a few others', which then go the longer way."""
    recurring = shares.filter((shares.charge_type == "recurring") & shares.service_id.notnull())
    counts = recurring.group_by("digest").aggregate(shares=recurring.count())
    return counts.filter(counts.shares > 1).select("digest")


def _items(plain: Table) -> Table:
    difference = plain.amount - plain.expected
    return as_content(
        plain.mutate(
            item_id=ibis.literal("service:") + plain.service_id,
            side=ibis.literal("service"),
            invoice_line_id=plain.line_id,
            invoice_line_ids=ibis.array([qualified(plain)]),
            status=ibis.literal("MATCHED"),
            service_amount=plain.expected,
            invoice_amount=plain.amount,
            difference=difference,
            reason_code=ibis.ifelse(difference == 0, NO_TEXT, "ROUNDING"),
            detail=NO_TEXT,
        ),
        RECONCILIATION_ITEMS,
    )
