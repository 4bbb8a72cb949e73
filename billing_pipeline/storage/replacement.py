"""What a caller does inside one replacing transaction: read, replace tables, write the ledger. Commits nothing itself."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace as changed
from datetime import datetime
from pathlib import Path
from typing import Any, Unpack

import psycopg
import pyarrow as pa

from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.columns import Table
from billing_pipeline.storage.copying import copy_out
from billing_pipeline.storage.incoming import Incoming, Stamp
from billing_pipeline.storage.keys import checked_period
from billing_pipeline.storage.ledger import LoadChanges, PartitionLoad, live_totals, select_loads, write_load
from billing_pipeline.storage.parquet import ParquetStore


class Undo(Exception):
    """Raised inside `PartitionWork.tentative`: what was replaced there is as it was before."""


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
        with self.streaming(period, table_name) as incoming:
            for batch in rows.to_batches() if isinstance(rows, pa.Table) else rows:
                incoming.write(table_name, batch)
        return incoming.rows[table_name]

    @contextmanager
    def streaming(self, period: str, *table_names: str) -> Iterator[Incoming]:
        """Replace several tables' partitions side by side by what `write` is given; the same promises as `replace`.

        Inside the block nothing else of this object may be used: its connection is busy.
        """
        period = checked_period(period)
        stamp = Stamp(self.operator, period, self.run_id, self.loaded_at, self.load_id)
        tables = [self._tables[name] for name in table_names]
        with Incoming(self._connection, self._parquet, tables, stamp) as incoming:
            yield incoming
        for table in tables:
            if table.in_parquet and (table, period) not in self.staged:
                self.staged.append((table, period))
            load_id = self.load_id if table.in_parquet else None
            self._unrecorded.setdefault(period, {})[table.name] = {**incoming.totals[table.name], "load_id": load_id}

    @contextmanager
    def tentative(self) -> Iterator[None]:
        """What is replaced and recorded inside stands, unless Undo is raised, which ends here."""
        staged = list(self.staged)
        unrecorded = {period: dict(written) for period, written in self._unrecorded.items()}
        try:
            with self._connection.transaction():
                yield
        except Undo:
            self.staged[:] = staged
            self._unrecorded = unrecorded

    def staged_path(self, table_name: str, period: str) -> Path:
        """The Parquet file of a table replaced here, before it is put in place."""
        return self._parquet.staged_path(self._tables[table_name], self.operator, period, self.load_id)

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
