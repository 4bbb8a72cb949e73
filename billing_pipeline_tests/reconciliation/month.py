"""A month written by hand: services and lines in a few words, and what reconciling them gives as plain rows."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import ibis
import pyarrow as pa
from ibis.expr.types import Table

from billing_pipeline.config import ReconciliationRules
from billing_pipeline.periods import Period
from billing_pipeline.reconciliation import identities
from billing_pipeline.reconciliation.allocate import allocate
from billing_pipeline.reconciliation.engine import Inputs, Results, reconcile
from billing_pipeline.reconciliation.expect import expected
from billing_pipeline.reconciliation.keep import keep
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.columns import Table as RegisteredTable
from billing_pipeline.schemas.tables import INVOICE_FINDINGS, INVOICE_LINES, INVOICES, SERVICES

Row = Mapping[str, Any]
MARCH = Period(2024, 3)
_MONEY = pa.decimal128(18, 6)
PRICES = pa.schema([("service_id", pa.string()), ("valid_from", pa.date32()), ("monthly_price_ht", _MONEY)])
CHARGES = pa.schema(
    [("service_id", pa.string()), ("period", pa.string()), ("amount_ht", _MONEY), ("description", pa.string()),
     ("position", pa.int64())]
)  # fmt: skip
REJECTED = pa.schema(
    [(n, pa.string()) for n in ("installed_offer_id", "external_reference", "serial_number", "order_reference")]
)
_PERIOD = pa.field("period", pa.string())
LINES = content_schema(INVOICE_LINES).append(_PERIOD)
CONTRACTS = pa.schema([f for f in content_schema(SERVICES) if f.name not in ("expected_amount", "active_days")])


def day(text: str) -> dt.date:
    """`03-15` is in 2024; a full ISO date is itself."""
    return dt.date.fromisoformat(text if len(text) == 10 else f"2024-{text}")


def table(schema: pa.Schema, rows: Iterable[Row]) -> Table:
    """Rows as an Ibis table; a column a row does not name is null, a decimal may be written as text."""
    filled = []
    for row in rows:
        unknown = set(row) - set(schema.names)
        assert not unknown, unknown
        filled.append({f.name: _value(f, row.get(f.name)) for f in schema})
    nullable = pa.schema([f.with_nullable(True) for f in schema])
    return ibis.memtable(pa.Table.from_pylist(filled, schema=nullable))


def _value(column: pa.Field, value: object) -> object:
    return Decimal(value) if pa.types.is_decimal(column.type) and isinstance(value, str | int) else value


def registered(registry: RegisteredTable, rows: Iterable[Row]) -> Table:
    return table(content_schema(registry), rows)


def service(service_id: str, price: str, **terms: Any) -> Row:
    """A contract in force since 2023 in EUR, unless `terms` say otherwise; `since` and `until` are included."""
    since, until = terms.pop("since", "2023-01-01"), terms.pop("until", None)
    return {
        "service_id": service_id, "monthly_price_ht": price, "discount_percent": terms.pop("discount", "0"),
        "currency": "EUR", "activated_on": day(since), "terminated_on": day(until) if until else None, **terms,
    }  # fmt: skip


def line(line_id: str, service_id: str | None, total: str, **stated: Any) -> Row:
    """A recurring charge of invoice INV-1 in March's collection; `days` is `(first, last)`."""
    first, last = stated.pop("days", (None, None))
    return {
        "invoice_id": "INV-1", "line_id": line_id, "service_id": service_id, "total_ht": total, "currency": "EUR",
        "charge_type": "recurring", "document_type": "invoice", "description": "Accès", "period": "2024-03",
        "source_sha256": "0" * 64, "source_row": 1,
        "service_from": day(first) if first else None, "service_to": day(last) if last else None, **stated,
    }  # fmt: skip


@dataclass
class Month:
    """What one reconciliation is run on; `outcome()` checks the identities before it hands anything back."""

    services: list[Row] = field(default_factory=list)
    lines: list[Row] = field(default_factory=list)
    prices: list[Row] = field(default_factory=list)
    charges: list[Row] = field(default_factory=list)
    rejected: list[Row] = field(default_factory=list)
    period: Period = MARCH
    rules: ReconciliationRules = field(default_factory=ReconciliationRules)

    def inputs(self) -> Inputs:
        prices = table(
            PRICES, [{"service_id": s, "valid_from": day(d), "monthly_price_ht": p} for s, d, p in self.prices]
        )
        charges = table(CHARGES, [{"position": i, **charge} for i, charge in enumerate(self.charges, 1)])
        lines = table(LINES, self.lines)
        allocations = allocate(lines)
        contracts = table(CONTRACTS, self.services)
        return Inputs(
            services=keep(expected(contracts, prices, self.period, self.rules.proration)),
            prices=prices,
            expected_charges=charges,
            lines=lines,
            allocations=keep(allocations.filter(allocations.service_month == str(self.period))),
            rejected_keys=table(REJECTED, self.rejected),
        )

    def results(self) -> tuple[Inputs, Results]:
        inputs = self.inputs()
        return inputs, reconcile(inputs, self.period, self.rules)

    def outcome(self) -> "Outcome":
        inputs, results = self.results()
        off = identities.check(inputs.services, inputs.allocations, results.items, results.reasons)
        assert rows(off) == []
        return Outcome(
            {row["item_id"]: row for row in rows(results.items)},
            {(row["item_id"], row["reason_code"]): row for row in rows(results.reasons)},
        )


@dataclass
class Outcome:
    items: dict[str, Row]
    reasons: dict[tuple[str, str], Row]

    def item(self, item_id: str) -> Row:
        return self.items[item_id]

    def amounts(self, item_id: str) -> dict[str, Decimal]:
        """The item's reasons and what each takes."""
        return {code: row["amount"] for (item, code), row in self.reasons.items() if item == item_id}

    def note(self, item_id: str, code: str) -> str | None:
        note: str | None = self.reasons[item_id, code]["note"]
        return note


def rows(found: Table) -> list[Row]:
    result: list[Row] = found.to_pyarrow().to_pylist()
    return result


def invoice(invoice_id: str = "INV-1", **stated: Any) -> Row:
    return {
        "invoice_id": invoice_id,
        "document_type": "invoice",
        "currency": "EUR",
        "operator_name": "Orange",
        **stated,
    }


def invoices(*found: Row) -> Table:
    return registered(INVOICES, found)


def no_findings() -> Table:
    return registered(INVOICE_FINDINGS, [])
