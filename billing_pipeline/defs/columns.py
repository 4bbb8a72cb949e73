"""What Dagster shows of a table's columns: their types and meanings, from the registry, and which columns they are made of.

Lineage is named where it is true of every row: a column that is copied, or computed from those alone.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from billing_pipeline.schemas.columns import Table
from billing_pipeline.schemas.tables import BY_NAME

# table → column → the columns it is made of, as table.column.
LINEAGE: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "line_allocations": {
        **{name: (f"invoice_lines.{name}",) for name in ("invoice_id", "line_id", "currency", "invoicing_currency")},
        **dict.fromkeys(("service_month", "days"), ("invoice_lines.service_from", "invoice_lines.service_to", "invoice_lines.charge_month")),
        "amount_ht": ("invoice_lines.total_ht", "invoice_lines.service_from", "invoice_lines.service_to"),
        "invoicing_amount": (
            "invoice_lines.invoicing_amount", "invoice_lines.service_from", "invoice_lines.service_to",
        ),
    },
    "reconciliation_items": {
        "invoice_id": ("line_allocations.invoice_id",),
        "invoice_line_id": ("line_allocations.line_id",),
        "invoice_line_ids": ("line_allocations.invoice_id", "line_allocations.line_id"),
        "service_amount": ("services.expected_amount", "expected_charges.amount_ht"),
        "invoice_amount": ("line_allocations.amount_ht", "line_allocations.invoicing_amount"),
        "currency": (
            "services.currency", "line_allocations.currency", "line_allocations.invoicing_currency",
        ),
    },
    "reconciliation_reasons": {"item_id": ("reconciliation_items.item_id",)},
    "reconciliation_summary": {
        **dict.fromkeys(("matched", "unmatched", "discrepancies", "orphan_lines"), ("reconciliation_items.side", "reconciliation_items.status")),
        "line_items": ("reconciliation_items.side",),
        "orphan_amount": (
            "reconciliation_items.invoice_amount", "reconciliation_items.side", "reconciliation_items.status",
            "reconciliation_items.currency",
        ),
        "service_amount": ("reconciliation_items.service_amount", "reconciliation_items.currency"),
        "invoice_amount": ("reconciliation_items.invoice_amount", "reconciliation_items.currency"),
    },
    "invoice_reconciliation": {
        "reconciliation_status": ("reconciliation_items.status", "invoice_findings.code"),
    },
    "source_verdicts": {
        "status": ("reconciliation_items.status",),
        "service_amount": ("reconciliation_items.service_amount",),
        "invoice_amount": ("reconciliation_items.invoice_amount",),
    },
}  # fmt: skip


def definition_metadata(name: str) -> dict[str, Any]:
    """For an asset's definition: the table's name in PostgreSQL and its columns."""
    table = BY_NAME[name]
    return {"dagster/column_schema": _schema(table), "dagster/table_name": f"billing.{name}"}


def lineage_metadata(name: str) -> dict[str, Any]:
    """For a materialization, where the UI looks for it; empty for a table whose columns come from documents."""
    if name not in LINEAGE:
        return {}
    deps = {
        column: [dg.TableColumnDep(asset_key=table, column_name=source) for table, _, source in map(_split, sources)]
        for column, sources in LINEAGE[name].items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps_by_column=deps)}


def _split(column: str) -> tuple[str, str, str]:
    return column.partition(".")


def _schema(table: Table) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                type=column.kind.value,
                description=column.meaning,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ],
        constraints=dg.TableConstraints(other=[f"primary key ({', '.join(table.key)})"]),
    )
