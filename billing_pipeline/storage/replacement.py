"""What a caller does inside one replacing transaction: read, replace tables, write the ledger. Commits nothing itself."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace as changed
from datetime import datetime
from decimal import Decimal
from typing import Any, Unpack

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from billing_pipeline.errors import StorageError
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.columns import Table
from billing_pipeline.storage.copying import copy_in, copy_out, explain_refusal, qualified, without_nul
from billing_pipeline.storage.keys import checked_period
from billing_pipeline.storage.ledger import (
    LoadChanges,
    PartitionLoad,
    decimal_columns,
    live_totals,
    select_loads,
    write_load,
)
from billing_pipeline.storage.parquet import ParquetStore, StagedFile, in_groups

# Each group is one Parquet row group and one COPY write; 50 000 invoice lines are about 20 MB of CSV.
_ROWS_PER_GROUP = 50_000


class PartitionWork:
    """One operator's partitions being replaced; made by `PartitionStore.replacing`.

    `staged` lists what lies in Parquet staging under `load_id`.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        parquet: ParquetStore,
        tables: Mapping[str, Table],
        operator: str,
        run_id: str,
        loaded_at: datetime,
        load_id: str,
    ) -> None:
        self.operator = operator
        self.run_id = run_id
        self.loaded_at = loaded_at
        self.load_id = load_id
        self.staged: list[tuple[Table, str]] = []
        self._connection = connection
        self._parquet = parquet
        self._tables = tables
        self._unrecorded: dict[str, dict[str, Any]] = {}

    def current(self, period: str, phase: str) -> PartitionLoad | None:
        """The partition's ledger row as this transaction sees it."""
        return next(iter(select_loads(self._connection, self.operator, checked_period(period), phase)), None)

    def loads(self, phase: str | None = None) -> list[PartitionLoad]:
        """All ledger rows of the operator, by period and phase."""
        return select_loads(self._connection, self.operator, phase=phase)

    def intact(self, load: PartitionLoad) -> bool:
        """Whether what is there is what the ledger says was loaded: counts and decimal sums, and the Parquet files."""
        for name, content in load.contents.items():
            table = self._tables[name]
            expected = {"rows": content["rows"], "sums": content["sums"]}
            if table.in_postgres and self._totals(table, load.period) != expected:
                return False
            if table.in_parquet and (
                self._parquet.load_id(table, self.operator, load.period),
                self._parquet.rows(table, self.operator, load.period),
            ) != (content["load_id"], content["rows"]):
                return False
        return True

    def read(
        self, table_name: str, periods: Sequence[str] | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """The operator's rows as this transaction sees them, its own replacements included; not for r189_charges."""
        table = self._tables[table_name]
        return copy_out(self._connection, table, operator=self.operator, periods=periods, columns=columns)

    def content_schema(self, table_name: str) -> pa.Schema:
        return content_schema(self._tables[table_name])

    def replace(self, table_name: str, period: str, rows: pa.Table | Iterable[pa.RecordBatch]) -> int:
        """Replace one table's partition by `rows`, content columns only, in any order; returns how many they are.

        They are streamed: staged as Parquet and copied at once. StorageError, and nothing is committed, when the database
        refuses a row, a required column holds null, or what is stored is not what was staged.
        """
        table, period = self._tables[table_name], checked_period(period)
        where = f"{table.name} {self.operator} {period}"
        batches = rows.to_batches() if isinstance(rows, pa.Table) else rows
        totals = _Totals(table)
        parts = (totals.add(self._complete(table, period, part, where)) for part in in_groups(batches, _ROWS_PER_GROUP))
        try:
            if table.in_parquet:
                with self._parquet.writer(table, self.operator, period, self.load_id) as staged:
                    self._store(table, period, _writing(parts, staged))
                if (table, period) not in self.staged:
                    self.staged.append((table, period))
            else:
                self._store(table, period, parts)
            written = totals.as_dict()
            if table.in_postgres and (stored := self._totals(table, period)) != written:
                raise StorageError(f"{where}: staged {_brief(written)}, stored {_brief(stored)}; nothing was replaced")
        except psycopg.DataError as error:
            raise StorageError(
                f"{where}: refused by the database: {explain_refusal(error)}; nothing was replaced"
            ) from None
        except psycopg.IntegrityError as error:
            raise StorageError(
                f"{where}: refused by the database: {explain_refusal(error)}; nothing was replaced"
            ) from None
        load_id = self.load_id if table.in_parquet else None
        self._unrecorded.setdefault(period, {})[table.name] = {**written, "load_id": load_id}
        return totals.rows

    def record(self, period: str, phase: str, **changes: Unpack[LoadChanges]) -> PartitionLoad:
        """Write the ledger row of `phase`, with the tables of `period` replaced since the last `record`.

        What `changes` leaves out stays as it was; a load clears the attempt unless told otherwise. A new row needs
        `state`. Without replaced tables (an attempt that loaded nothing) run_id and loaded_at stay those of the load.
        """
        period = checked_period(period)
        written = self._unrecorded.pop(period, {})
        load = self.current(period, phase)
        if load is None:
            if "state" not in changes:
                raise ValueError(f"{self.operator} {period} {phase}: the first record of a partition needs a state")
            load = PartitionLoad(self.operator, period, phase, changes["state"], self.run_id, self.loaded_at)
        if written:
            load = changed(
                load,
                contents={**load.contents, **written},
                run_id=self.run_id,
                loaded_at=self.loaded_at,
                attempt_state=None,
                attempt_detail=None,
            )
        load = changed(load, **changes)
        write_load(self._connection, load)
        return load

    def refuse_unrecorded(self) -> None:
        """ValueError when a replaced table has no ledger row: no later run could tell whether it is whole."""
        for period, written in self._unrecorded.items():
            raise ValueError(f"{self.operator} {period}: {', '.join(written)} replaced and not recorded")

    def _totals(self, table: Table, period: str) -> dict[str, Any]:
        return live_totals(self._connection, table, self.operator, period)

    def _store(self, table: Table, period: str, parts: Iterator[pa.Table]) -> None:
        if not table.in_postgres:
            for _ in parts:
                pass
            return
        self._connection.execute(
            sql.SQL("DELETE FROM {} WHERE operator_code = %s AND period = %s").format(qualified(table)),
            (self.operator, period),
        )
        copy_in(self._connection, table, parts)

    def _complete(self, table: Table, period: str, rows: pa.Table, where: str) -> pa.Table:
        """`rows` with all the registry's columns, in its order and types."""
        schema = content_schema(table)
        if sorted(rows.column_names) != sorted(schema.names):
            odd = sorted(set(rows.column_names) ^ set(schema.names)) or "a column twice"
            raise ValueError(f"{where}: its columns are not the registry's: {odd}")
        rows = without_nul(rows.select(schema.names))
        for column in schema:
            if not column.nullable and rows.column(column.name).null_count:
                raise StorageError(f"{where}: required column {column.name} holds null; nothing was replaced")
        rows = rows.cast(schema)
        surrounding = {
            "operator_code": pa.scalar(self.operator),
            "period": pa.scalar(period),
            "run_id": pa.scalar(self.run_id),
            "loaded_at": pa.scalar(self.loaded_at, pa.timestamp("us", tz="UTC")),
        }
        columns = [
            pa.repeat(surrounding[name], len(rows)) if name in surrounding else rows.column(name)
            for name in table.names
        ]
        return pa.table(columns, names=list(table.names))


class _Totals:
    """Rows and decimal sums of what passed by, in the ledger's form."""

    def __init__(self, table: Table) -> None:
        self.rows = 0
        self._sums: dict[str, Decimal | None] = dict.fromkeys(decimal_columns(table) if table.in_postgres else ())

    def add(self, rows: pa.Table) -> pa.Table:
        self.rows += len(rows)
        for name, so_far in self._sums.items():
            more = pc.sum(rows.column(name)).as_py()
            if more is not None:
                self._sums[name] = more if so_far is None else so_far + more
        return rows

    def as_dict(self) -> dict[str, Any]:
        sums = {name: None if total is None else f"{total:f}" for name, total in self._sums.items()}
        return {"rows": self.rows, "sums": sums}


def _writing(parts: Iterator[pa.Table], staged: StagedFile) -> Iterator[pa.Table]:
    for part in parts:
        staged.write(part.select(staged.schema.names))
        yield part


def _brief(totals: Mapping[str, Any]) -> str:
    sums = ", ".join(f"{name} {total}" for name, total in totals["sums"].items() if total is not None)
    return f"{totals['rows']} rows" + (f" ({sums})" if sums else "")
