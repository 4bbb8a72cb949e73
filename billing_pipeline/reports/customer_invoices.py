"""A period's customer invoices as a table: what became of each, and what it leaves over the operators' costs."""

import io
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from billing_pipeline.exact_json import plain_decimal

Row = Mapping[str, Any]
_SHOWN = {
    "customer_id": "customer", "state": "state", "number": "number", "lines": "lines", "currency": "currency",
    "total_ht": "total HT", "total_ttc": "total TTC", "cost_ht": "cost HT", "margin_ht": "margin HT",
    "credit_note_number": "credit note",
}  # fmt: skip
_RIGHT = frozenset({"lines", "total_ht", "total_ttc", "cost_ht", "margin_ht"})


def with_margins(invoices: Iterable[Row], lines: Iterable[Row]) -> list[dict[str, Any]]:
    """The invoices with number of lines, cost and margin; these are null where one line's cost is not known."""
    by_customer: dict[str, list[Row]] = {}
    for line in lines:
        by_customer.setdefault(line["customer_id"], []).append(line)
    return [
        {
            **invoice,
            "lines": len(own := by_customer.get(invoice["customer_id"], [])),
            "cost_ht": _sum(own, "cost_ht"),
            "margin_ht": _sum(own, "margin_ht"),
        }
        for invoice in invoices
    ]


def _sum(lines: list[Row], name: str) -> Decimal | None:
    amounts = [line[name] for line in lines]
    return None if not amounts or None in amounts else sum(amounts, Decimal("0.00"))


def as_table(rows: Iterable[Row]) -> str:
    """Aligned columns, amounts with two decimals; below, in words, what the columns do not say."""
    rows = list(rows)
    table = Table(box=None, pad_edge=False, header_style="")
    for name, title in _SHOWN.items():
        table.add_column(title, justify="right" if name in _RIGHT else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in _SHOWN))
    buffer = io.StringIO()
    Console(file=buffer, width=200, color_system=None, highlight=False, markup=False).print(table)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    details = [f"{row['customer_id']}: {row['state_detail']}" for row in rows if row["state_detail"]]
    details += [
        f"{row['customer_id']}: drafts left behind: {', '.join(row['orphaned_drafts'])}"
        for row in rows
        if row["orphaned_drafts"]
    ]
    return "\n".join([*lines, *([""] if details else []), *details])


def as_markdown(rows: Iterable[Row]) -> str:
    """The same columns for a page that shows Markdown."""
    heads = [*_SHOWN.values(), "detail"]
    body = (
        "| "
        + " | ".join([*(_cell(row[name]) for name in _SHOWN), (row["state_detail"] or "").replace("|", "/")])
        + " |"
        for row in rows
    )
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *body])


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return plain_decimal(value) if isinstance(value, Decimal) else str(value)
