"""Whether a month's amounts add up to figures our columns can hold, asked before any sum is taken."""

from decimal import Decimal
from typing import Any

import ibis
from ibis.expr.types import NumericColumn, Table

from billing_pipeline.reconciliation.content import WIDE
from billing_pipeline.reconciliation.engine import Inputs

# numeric(18, 6) holds less. No sum or difference of some of the amounts exceeds the sum of all of them.
LIMIT = Decimal(10**12)


def magnitudes(inputs: Inputs) -> Table:
    """Per kind of amount: the sum of absolute values, the largest amount and whose it is (`owner`). All currencies."""
    lines, prices, charges = inputs.allocations, inputs.prices, inputs.expected_charges
    billed = ibis.greatest(lines.amount_ht.abs(), ibis.coalesce(lines.invoicing_amount.abs(), 0))
    services = inputs.services
    return ibis.union(
        _of("line", lines, lines.invoice_id + ":" + lines.line_id, billed),
        _of("service", services, services.service_id, services.monthly_price_ht),
        _of("price of service", prices, prices.service_id, prices.monthly_price_ht),
        _of("expected charge of service", charges, charges.service_id, charges.amount_ht.abs()),
    )


def _of(kind: str, rows: Table, owner: Any, amount: NumericColumn) -> Table:
    found = rows.select(owner=owner, amount=amount.cast(WIDE))
    return found.aggregate(
        total=ibis.coalesce(found.amount.sum(), ibis.literal(0, WIDE)).cast(WIDE),
        largest=found.amount.max(),
        owner=found.owner.argmax(found.amount),
    ).mutate(kind=ibis.literal(kind))
