"""The registry's columns as Ibis types: a result is cast and ordered here before it leaves this package."""

import functools

import ibis
from ibis.expr.types import Table

from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.columns import Table as RegisteredTable

MONEY = "decimal(18, 6)"
WIDE = "decimal(38, 6)"
NO_MONEY = ibis.null(MONEY)
NO_TEXT = ibis.null("string")


@functools.cache
def _types(table: RegisteredTable) -> dict[str, ibis.DataType]:
    schema = ibis.Schema.from_pyarrow(content_schema(table))
    return {name: dtype.copy(nullable=True) for name, dtype in schema.items()}


def as_content(rows: Table, table: RegisteredTable, *extra: str) -> Table:
    """`rows` with exactly the content columns of `table`, in its order and types, followed by `extra` as they are."""
    types = _types(table)
    return rows.select(
        **{name: rows[name].cast(dtype) for name, dtype in types.items()}, **{name: rows[name] for name in extra}
    )


def contents(table: RegisteredTable) -> tuple[str, ...]:
    """The names of the content columns."""
    return tuple(_types(table))
