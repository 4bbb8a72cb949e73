"""The ledger, table partition_loads: what was last committed per partition and phase, to compare the live rows with.

After a crash only the ledger tells whether a load was committed. It is written in the load's own transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypedDict

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from billing_pipeline.schemas.columns import Kind, Table
from billing_pipeline.schemas.sql import PARTITION_LOADS, PHASES
from billing_pipeline.storage.copying import columns_sql, qualified

_NAMES = PARTITION_LOADS.names
_JSON = frozenset(column.name for column in PARTITION_LOADS.columns if column.kind is Kind.JSON)


@dataclass(frozen=True, slots=True)
class PartitionLoad:
    """One ledger row. `contents` maps each table to {rows, sums: {column: decimal text or null}, load_id or null}.

    `state` is that of what is loaded, `attempt_state` that of a later attempt that replaced nothing; null after a load.
    """

    operator_code: str
    period: str
    phase: str
    state: str
    run_id: str
    loaded_at: datetime
    state_detail: str | None = None
    attempt_state: str | None = None
    attempt_detail: str | None = None
    input_digest: str | None = None
    contents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    contributions: Mapping[str, Any] | None = None
    files: int | None = None
    rows_read: int | None = None
    rows_rejected: int | None = None


class LoadChanges(TypedDict, total=False):
    """What a caller may state about a load; what it leaves out stays as it was."""

    state: str
    state_detail: str | None
    attempt_state: str | None
    attempt_detail: str | None
    input_digest: str | None
    contributions: Mapping[str, Any] | None
    files: int | None
    rows_read: int | None
    rows_rejected: int | None


def select_loads(
    connection: psycopg.Connection, operator: str | None, period: str | None = None, phase: str | None = None
) -> list[PartitionLoad]:
    """Ledger rows by operator, period, phase; null filters take everything."""
    statement = sql.SQL(
        "SELECT {columns} FROM {table} WHERE (%(operator)s::text IS NULL OR operator_code = %(operator)s)"
        " AND (%(period)s::text IS NULL OR period = %(period)s) AND (%(phase)s::text IS NULL OR phase = %(phase)s)"
        " ORDER BY operator_code, period, phase"
    ).format(columns=columns_sql(_NAMES), table=qualified(PARTITION_LOADS))
    with connection.cursor(row_factory=class_row(PartitionLoad)) as cursor:
        return cursor.execute(statement, {"operator": operator, "period": period, "phase": phase}).fetchall()


def write_load(connection: psycopg.Connection, load: PartitionLoad) -> None:
    """Insert or replace the row; its tables leave the contents of the partition's other phase."""
    if load.phase not in PHASES:
        raise ValueError(f"{load.phase!r} is not a phase; there are {', '.join(PHASES)}")
    values = {one.name: getattr(load, one.name) for one in fields(load)}
    values.update({name: Jsonb(values[name]) for name in _JSON if values[name] is not None})
    connection.execute(
        sql.SQL("INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT ({key}) DO UPDATE SET {updates}").format(
            table=qualified(PARTITION_LOADS),
            columns=columns_sql(_NAMES),
            values=sql.SQL(", ").join(map(sql.Placeholder, _NAMES)),
            key=columns_sql(PARTITION_LOADS.key),
            updates=sql.SQL(", ").join(
                sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name))
                for name in _NAMES
                if name not in PARTITION_LOADS.key
            ),
        ),
        values,
    )
    connection.execute(
        sql.SQL(
            "UPDATE {} SET contents = contents - %s::text[] WHERE operator_code = %s AND period = %s AND phase <> %s"
            " AND contents ?| %s::text[]"
        ).format(qualified(PARTITION_LOADS)),
        (list(load.contents), load.operator_code, load.period, load.phase, list(load.contents)),
    )


def decimal_columns(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns if column.kind in (Kind.DECIMAL, Kind.RATE))


def live_totals(connection: psycopg.Connection, table: Table, operator: str, period: str) -> dict[str, Any]:
    """{rows, sums} of the partition as it is in PostgreSQL now, in the ledger's form."""
    names = decimal_columns(table)
    totals = [sql.SQL("count(*)"), *(sql.SQL("sum({})::text").format(sql.Identifier(name)) for name in names)]
    row = connection.execute(
        sql.SQL("SELECT {} FROM {} WHERE operator_code = %s AND period = %s").format(
            sql.SQL(", ").join(totals), qualified(table)
        ),
        (operator, period),
    ).fetchone()
    assert row is not None
    return {"rows": row[0], "sums": dict(zip(names, row[1:], strict=True))}
