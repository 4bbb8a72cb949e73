"""Which expected one-off charge a one-off or usage line answers to. Recurring lines never come here.

Each line in turn takes the closest charge that is left, so the outcome of one depends on those before it: this is the
one step that leaves the engine. It fetches only the lines and charges of services that have both, in one month.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import ibis
from ibis.expr.types import Table

from billing_pipeline.periods import Period
from billing_pipeline.reconciliation.match import LINE_KEY

_PAIRS = {"period": "string", "invoice_id": "string", "line_id": "string", "charge": "decimal(18, 6)"}


def pair(shares: Table, expected_charges: Table, period: Period, tolerance: Decimal) -> Table:
    """The shares that have an expected charge: period, invoice_id, line_id, `charge` (in the contract's currency).

    `shares`: one-off and usage shares of known services in their contract's currency; `expected_charges`:
    service_id, period, amount_ht, position (its place in the file). Equal means within `tolerance`.
    """
    charges = expected_charges.filter(expected_charges.period == str(period))
    lines = shares.semi_join(charges, "service_id").select(*LINE_KEY, "service_id", "amount")
    unused: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    billed = charges.semi_join(lines, "service_id").select("service_id", "position", "amount_ht")
    for charge in _by_name(billed, "service_id", "position"):
        unused[charge["service_id"]].append(charge)
    pairs = []
    for line in _by_name(lines, "invoice_id", "line_id"):
        candidates = unused[line["service_id"]]
        if not candidates:
            continue
        # min keeps the first of equals: charges lie in file order.
        closest = min(candidates, key=lambda charge: abs(line["amount"] - charge["amount_ht"]))
        if abs(line["amount"] - closest["amount_ht"]) <= tolerance:
            candidates.remove(closest)
            pairs.append({**{name: line[name] for name in LINE_KEY}, "charge": closest["amount_ht"]})
    return ibis.memtable(pairs, schema=_PAIRS)


def _by_name(rows: Table, *order: str) -> Iterable[Mapping[str, Any]]:
    """Rows in an order of our own: engines sort text by their collation."""
    found: list[Mapping[str, Any]] = rows.to_pyarrow().to_pylist()
    return sorted(found, key=lambda row: tuple(row[name] for name in order))
