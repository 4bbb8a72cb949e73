"""One operator's month for people who look at a run: its summary as a table, and the year it stands in."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from billing_pipeline.exact_json import plain_decimal
from billing_pipeline.periods import Period
from billing_pipeline.reports.plot import MOST_MONTHS, Month, as_markdown_image
from billing_pipeline.reports.summary import summaries
from billing_pipeline.storage.partitions import PartitionStore

_TITLES = {
    "state": "state", "total_services": "active services", "matched": "matched", "unmatched": "unmatched",
    "discrepancies": "discrepancies", "line_items": "items that are no service's", "orphan_lines": "orphan lines",
    "orphan_amount": "orphan amount HT", "service_amount": "expected HT", "invoice_amount": "billed HT",
    "difference": "billed less expected HT", "files": "documents", "rows_read": "rows read",
    "rows_rejected": "rows rejected",
}  # fmt: skip


def as_markdown(summary: Mapping[str, Any]) -> str:
    """The month's figures as a table, what is special about it below."""
    rows = [f"| {title} | {_cell(summary[name])} |" for name, title in _TITLES.items() if summary.get(name) is not None]
    detail = summary.get("state_detail")
    return "\n".join(["| figure | value |", "|---|---:|", *rows, *(["", _escaped(str(detail))] if detail else [])])


def rows_as_markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of the same keys as a table under those keys."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_escaped(cell) for cell in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def year_of(store: PartitionStore, operator_code: str, period: Period) -> list[Month]:
    """The twelve months up to `period`, as they are stored."""
    periods = list(period.shift(1 - MOST_MONTHS).through(period))
    rows: Sequence[Mapping[str, Any]] = summaries(store, periods, [operator_code])
    found = [
        Month(row["period"], row["matched"], row["discrepancies"], row["unmatched"], row["difference"]) for row in rows
    ]
    while len(found) > 1 and not found[0].evaluated:
        found.pop(0)  # what lies before the first verdict says nothing
    return found


def year_as_markdown(store: PartitionStore, operator_code: str, period: Period) -> str:
    """The picture of these months."""
    return as_markdown_image(year_of(store, operator_code, period), title=f"{operator_code}, months to {period}")


def _cell(value: Any) -> str:
    return plain_decimal(value) if isinstance(value, Decimal) else _escaped(str(value))


def _escaped(text: str) -> str:
    """Operators' own words are in it: no cell or link of theirs becomes ours."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]()<>#|!" else letter for letter in " ".join(text.split()))
