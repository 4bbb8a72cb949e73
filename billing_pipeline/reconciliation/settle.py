"""The plain case, in one pass: a service's only recurring line bills what is expected. Nearly every service is one.

What is settled here gets the verdict that verdict.py would give; the rest is handed on. No other rule is known here.
"""

from dataclasses import dataclass

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


def settle(attributed: Attributed, services: Table) -> Settled:
    """Take out the active services whose one recurring share agrees with what is expected of them."""
    parts = (attributed.first, attributed.late)
    crowded = keep(_crowded(*parts))
    agreeing = [part.filter(part.agrees) for part in parts]
    plain = [part.anti_join(crowded, "service_id") for part in agreeing]
    left = [part.filter(~part.agrees) for part in parts]
    left += [part.semi_join(crowded, "service_id") for part in agreeing]
    shares = keep(ibis.union(*left).drop("agrees"))
    open_services = _open_services(shares, attributed.unbilled, agreeing)
    needed = services.select(*_NEEDED)
    return Settled(_items(ibis.union(*plain)), shares, keep(needed.semi_join(open_services, "service_id")))


def _open_services(shares: Table, unbilled: Table, agreeing: list[Table]) -> Table:
    """service_id of every service that is not settled: those of `shares`, and those without a share at all.

    Some stand there more than once. A service in `agreeing` is settled, unless one of its recurring shares is here.
    """
    known = shares.filter(shares.service_id.notnull())
    is_recurring = known.charge_type == "recurring"
    # What has a one-off share here, or none in the first part, may be settled by a recurring share all the same.
    one_off = known.filter(~is_recurring).select("service_id")
    parts = [known.filter(is_recurring).select("service_id"), unbilled.anti_join(agreeing[1], "service_id")]
    if not is_empty(one_off):
        one_off = keep(one_off)
        agreed = ibis.union(*[part.select("service_id").semi_join(one_off, "service_id") for part in agreeing])
        parts.append(one_off.anti_join(agreed, "service_id"))
    return ibis.union(*parts)


def _crowded(*parts: Table) -> Table:
    """service_id of services with more than one recurring share."""
    shares = ibis.union(*[part.select("service_id", "charge_type") for part in parts])
    recurring = shares.filter((shares.charge_type == "recurring") & shares.service_id.notnull())
    counts = recurring.group_by("service_id").aggregate(shares=recurring.count())
    return counts.filter(counts.shares > 1).select("service_id")


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
