"""Rows for any table of the registry: distinct keys, every kind of value, including those that CSV gets wrong."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.columns import Kind, Table

AWKWARD = [
    "",
    '"',
    "a;b,c",
    "line\nbreak\r\nand\rmore",
    "back\\slash \\N \\.",
    "é 漢字 🧾 \u202f",
    " blank ",
    "NULL",
    "\\.",
]


def value(kind: Kind, index: int) -> Any:
    match kind:
        case Kind.TEXT:
            return AWKWARD[index % len(AWKWARD)]
        case Kind.PERIOD:
            return f"2024-{index % 12 + 1:02d}"
        case Kind.DATE:
            return date(2024, 1, 1) + timedelta(days=index % 366)
        case Kind.INSTANT:
            return datetime(2024, 3, 31, 1, 59, 59, index % 1_000_000, tzinfo=UTC)
        case Kind.DECIMAL:
            return [Decimal("0"), Decimal("-0.000001"), Decimal("999999999999.999999"), Decimal("-12.5")][index % 4]
        case Kind.RATE:
            return [Decimal("0.000000000001"), Decimal("-1"), Decimal("1234567890123456.000000000001")][index % 3]
        case Kind.INTEGER:
            return [0, -1, 2**63 - 1, -(2**63)][index % 4]
        case Kind.BOOLEAN:
            return index % 2 == 0
        case Kind.TEXT_LIST:
            return [[], [""], AWKWARD, ["NULL", None, 'x"{},y']][index % 4]
        case Kind.JSON:
            return ['{"a": "é\\n"}', "[]", "null", '"x"'][index % 4]


def rows(table: Table, count: int, **fixed: Any) -> pa.Table:
    """`count` rows, every third nullable value null; `fixed` sets whole columns."""
    schema = content_schema(table)
    columns = []
    for column in table.columns:
        if column.name not in schema.names:
            continue
        if column.name in fixed:
            values = [fixed[column.name]] * count
        elif column.name in table.key and column.kind is Kind.TEXT:
            values = [f"{AWKWARD[index % len(AWKWARD)]}{index}" for index in range(count)]
        elif column.name in table.key:
            values = (
                ["2024-03"] * count if column.kind is Kind.PERIOD else [value(column.kind, i) for i in range(count)]
            )
            values = list(range(count)) if column.kind is Kind.INTEGER else values
        else:
            values = [
                None if column.nullable and index % 3 == 2 else value(column.kind, index) for index in range(count)
            ]
        columns.append(pa.array(values, schema.field(column.name).type))
    return pa.table(columns, schema=schema)
