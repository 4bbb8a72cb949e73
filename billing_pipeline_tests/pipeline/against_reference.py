"""What the pipeline stored for charge files, item by item against the slow reading of the same files (reference/)."""

from collections.abc import Iterable
from dataclasses import asdict, fields
from decimal import Decimal
from typing import Any

from billing_pipeline.periods import Period
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.pipeline.tables import Row, Stored, changed
from billing_pipeline_tests.reference.folder import EVALUATED, Evaluation, evaluate, overall_status
from billing_pipeline_tests.reference.records import Finding, Item, Line, RejectedRow
from billing_pipeline_tests.reference.summary import Summary

_ITEM = tuple(field.name for field in fields(Item) if field.name != "reasons")
_LINE = tuple(field.name for field in fields(Line) if field.name not in ("operator_code", "period"))
_SUMMARY = tuple(field.name for field in fields(Summary) if field.name not in ("currency", "other_currencies"))
_REJECTED = ("source_sha256", "source_row", "check_name")
Partition = tuple[str, Period]


def unlike(place: Place, periods: Iterable[Period], partitions: Iterable[Partition]) -> dict[str, Any]:
    """Where the stored partitions differ from the reference; empty when they do not. `periods`: all that were collected."""
    evaluations = evaluate(place.folder / "billing.yaml", list(periods))
    stored = place.stored()
    told: dict[str, Any] = {}
    for partition in partitions:
        own = {table: _of(rows, partition) for table, rows in stored.items() if table != "alembic_version"}
        for name, difference in _partition(own, evaluations[partition]).items():
            told[f"{partition[0]} {partition[1]} {name}"] = difference
    return told


def unlike_statuses(place: Place, periods: Iterable[Period]) -> dict[str, Any]:
    """Overall invoice status by the view of the place, against the reference's; for places where all was collected."""
    evaluations = evaluate(place.folder / "billing.yaml", list(periods))
    from_reference = {
        (operator, invoice): status
        for operator in {operator for operator, _ in evaluations}
        for invoice, status in overall_status(evaluations, operator).items()
    }
    found = {
        (row["operator_code"], row["invoice_id"]): row["reconciliation_status"]
        for row in place.query(
            "SELECT operator_code, invoice_id, reconciliation_status FROM billing.invoices_with_status"
        )
    }
    return {
        str(key): (found.get(key), from_reference.get(key))
        for key in set(found) | set(from_reference)
        if found.get(key) != from_reference.get(key)
    }


def _of(rows: list[Row], partition: Partition) -> list[Row]:
    return [row for row in rows if (row["operator_code"], row["period"]) == (partition[0], str(partition[1]))]


def _partition(own: Stored, reference: Evaluation) -> dict[str, Any]:
    (summary,) = own["reconciliation_summary"]
    counted = ("state", "files", "rows_read")
    figures = {**{name: getattr(reference, name) for name in counted}, **_figures(reference)}
    superseded = {(row.source_sha256, row.source_row) for row in reference.rejected if row.check_name == "superseded"}
    figures["rows_rejected"] = reference.rows_rejected + len(superseded)
    ours: Stored = {
        "summary": [{name: summary[name] for name in figures}],
        "items": [_item(row) for row in own["reconciliation_items"]],
        "reasons": _rows(own["reconciliation_reasons"], ("item_id", "reason_code", "amount")),
        "invoice status": _rows(own["invoice_reconciliation"], ("invoice_id", "reconciliation_status")),
        "services": _rows(own["services"], ("service_id", "expected_amount", "active_days")),
        "lines": _rows(own["invoice_lines"], _LINE),
        "rejected": _rows(own["rejected_rows"], _REJECTED),
        "findings": _rows(own["invoice_findings"], ("invoice_id", "line_id", "code", "subject", "expected", "actual")),
    }
    return changed(_canonical(_expected(reference, figures)), _canonical(ours))


def _expected(reference: Evaluation, figures: Row) -> Stored:
    return {
        "summary": [figures],
        "items": [{**{name: getattr(item, name) for name in _ITEM}} for item in reference.items],
        "reasons": [
            {"item_id": item.item_id, "reason_code": code, "amount": amount}
            for item in reference.items
            for code, (amount, _) in item.reasons.items()
        ],
        "invoice status": [
            {"invoice_id": invoice, "reconciliation_status": status}
            for invoice, status in reference.invoice_status.items()
        ],
        "services": [
            {"service_id": service, "expected_amount": expected, "active_days": days}
            for service, (expected, days) in reference.services.items()
        ],
        "lines": [_attributes(line, _LINE) for line in reference.lines],
        "rejected": [_attributes(row, _REJECTED) for row in _once(reference)],
        "findings": [
            _attributes(finding, ("invoice_id", "line_id", "code", "subject", "expected", "actual"))
            for finding in reference.findings
        ],
    }


def _figures(reference: Evaluation) -> Row:
    if reference.state != EVALUATED:
        return dict.fromkeys(_SUMMARY)
    return {name: value for name, value in asdict(reference.summary).items() if name in _SUMMARY}  # type: ignore[arg-type]


def _once(reference: Evaluation) -> list[RejectedRow]:
    """One per row and rule: which of two columns is named, where both are at fault, is nobody's verdict."""
    keyed = {(row.source_sha256, row.source_row, row.check_name): row for row in reference.rejected}
    return list(keyed.values())


def _attributes(record: Finding | Line | RejectedRow, names: Iterable[str]) -> Row:
    return {name: getattr(record, name) for name in names}


def _item(row: Row) -> Row:
    return {**{name: row[name] for name in _ITEM}, "invoice_line_ids": tuple(row["invoice_line_ids"])}


def _rows(rows: list[Row], names: Iterable[str]) -> list[Row]:
    names = tuple(names)
    return [{name: row[name] for name in names} for row in rows]


def _canonical(tables: Stored) -> Stored:
    """Decimals in one spelling (1.5 and 1.500000 are equal), text without the spaces around it, each row once, in order."""
    return {
        name: sorted({str(plain): plain for row in rows if (plain := _row(row))}.values(), key=str)
        for name, rows in tables.items()
    }


def _row(row: Row) -> Row:
    return {key: _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:.12f}"
    return value.strip() or None if isinstance(value, str) else value
