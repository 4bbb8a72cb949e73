"""The reconciliation summary as a table, as CSV, and as JSON in the billing hub's shape."""

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from billing_pipeline.exact_json import exact_json, plain_decimal
from billing_pipeline.periods import Period
from billing_pipeline.reports.cells import FORMULA_STARTS
from billing_pipeline.reports.hub_shapes import ITEM, NEVER_RUN, NOT_EVALUATED, SUMMARY, shaped
from billing_pipeline.schemas.tables import RECONCILIATION_SUMMARY
from billing_pipeline.storage.partitions import PartitionStore

Row = dict[str, Any]
COLUMNS = tuple(name for name in RECONCILIATION_SUMMARY.names if name not in ("run_id", "loaded_at"))
_SHOWN = {
    "operator_code": "operator", "period": "period", "state": "state", "total_services": "services",
    "matched": "matched", "unmatched": "unmatched", "discrepancies": "discrepancies", "orphan_lines": "orphan lines",
    "service_amount": "expected HT", "invoice_amount": "billed HT", "difference": "difference",
    "rows_read": "rows", "rows_rejected": "rejected",
}  # fmt: skip
_TEXT = frozenset({"operator_code", "period", "state"})


def summaries(store: PartitionStore, periods: Sequence[Period], operators: Sequence[str]) -> list[Row]:
    """The summary rows, by period and operator; a partition that was never run has state NOT_EVALUATED and says so."""
    found = {
        (row["operator_code"], row["period"]): row
        for row in store.read("reconciliation_summary", periods=[str(period) for period in periods]).to_pylist()
    }
    blank = dict.fromkeys(COLUMNS)
    never = {"state": NOT_EVALUATED, "state_detail": NEVER_RUN}
    return [
        found.get((code, str(period)), {**blank, **never, "operator_code": code, "period": str(period)})
        for period in periods
        for code in operators
    ]


def as_table(rows: Iterable[Row]) -> str:
    """Aligned columns, amounts with two decimals; details of partitions that are not plainly evaluated below."""
    rows = list(rows)
    table = Table(box=None, pad_edge=False, header_style="")
    for name, title in _SHOWN.items():
        table.add_column(title, justify="left" if name in _TEXT else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in _SHOWN))
    buffer = io.StringIO()
    Console(file=buffer, width=200, color_system=None, highlight=False, markup=False).print(table)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    details = [f"{row['operator_code']} {row['period']}: {row['state_detail']}" for row in rows if row["state_detail"]]
    return "\n".join([*lines, *([""] if details else []), *details])


def as_csv(rows: Iterable[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(["" if row[name] is None else _no_formula(row[name]) for name in COLUMNS])
    return buffer.getvalue()


def as_json(rows: Sequence[Row], items: Iterable[Row]) -> str:
    """The hub's shape for one operator; `{"operators": [{code, …}]}` for several."""
    by_operator: dict[str, list[Row]] = {}
    for item in items:
        by_operator.setdefault(item["operator_code"], []).append(item)
    shapes = [_shape(row, by_operator.get(row["operator_code"], [])) for row in rows]
    if len(shapes) == 1:
        return exact_json(shapes[0], indented=True)
    operators = [{"code": row["operator_code"], **one} for row, one in zip(rows, shapes, strict=True)]
    return exact_json({"operators": operators}, indented=True)


def _shape(row: Row, items: Iterable[Row]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "period": row["period"],
        "state": row["state"],
        "summary": shaped(SUMMARY, row),
        "items": [shaped(ITEM, item) for item in items],
    }
    if row["state_detail"]:
        made["stateDetail"] = row["state_detail"]
    return made


def _no_formula(value: Any) -> str:
    """A text that a spreadsheet would take for a formula is quoted, as the spreadsheet itself would write it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else _plain(value)


def _plain(value: Any) -> str:
    return plain_decimal(value) if isinstance(value, Decimal) else str(value)


def _cell(value: Any) -> str:
    return "–" if value is None else _plain(value)
