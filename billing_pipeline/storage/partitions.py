"""The atomic replacement of partitions: one transaction in PostgreSQL, then the staged Parquet files renamed into place.

    lock the operator → DELETE → COPY (and stage Parquet) → compare with what was staged → ledger → commit → rename

PostgreSQL is authoritative. Readers keep the old partition until the commit (MVCC; partitions are not detached, because
a REPEATABLE READ reader then sees none). A crash between commit and rename leaves staged files that the operator's next
load, or `mend`, renames. What the rows mean is not known here.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
import pyarrow as pa

from billing_pipeline.errors import StorageError
from billing_pipeline.schemas.columns import Table
from billing_pipeline.schemas.sql import INVOICE_DOCUMENTS
from billing_pipeline.schemas.tables import BY_NAME, RECONCILIATION_SUMMARY
from billing_pipeline.storage.connections import connect, server_name
from billing_pipeline.storage.copying import copy_out
from billing_pipeline.storage.foreign_locks import explain_lock
from billing_pipeline.storage.keys import checked_operator, checked_period, file_name_part
from billing_pipeline.storage.ledger import PartitionLoad, live_totals, select_loads
from billing_pipeline.storage.parquet import ParquetStore
from billing_pipeline.storage.replacement import PartitionWork

TABLES_BY_NAME: dict[str, Table] = {**BY_NAME, INVOICE_DOCUMENTS.name: INVOICE_DOCUMENTS}
_LOCK_NAME = "billing_pipeline:operator:"
# A full reload of a large operator takes minutes; a second run waits for it rather than fails.
LOCK_WAIT_S = 1800
# Somebody else's lock on a table of ours: no program of ours holds one that long.
LOCK_TIMEOUT_S = 60


class PartitionStore:
    """Every partition of every table, in the database at `url` and under `parquet`."""

    def __init__(
        self, url: str, parquet: ParquetStore, *, lock_wait_s: int = LOCK_WAIT_S, lock_timeout_s: int = LOCK_TIMEOUT_S
    ) -> None:
        self.url = url
        self.parquet = parquet
        self._lock_wait_s = lock_wait_s
        self._lock_timeout_s = lock_timeout_s

    @contextmanager
    def replacing(self, operator: str, *, run_id: str, loaded_at: datetime) -> Iterator[PartitionWork]:
        """One transaction over the operator's partitions; other operators' go on beside it.

        Committed when the block ends, and the Parquet files put in place; rolled back on any error. `loaded_at` is an
        aware instant. StorageError when the database or the disk fails, or another run holds the operator too long; a
        second `replacing`, `mend` or `record_failure` of the same operator inside the block would wait for the first.
        """
        if loaded_at.tzinfo is None:
            raise ValueError("loaded_at needs a time zone")
        load_id = f"{file_name_part(run_id)}-{uuid.uuid4().hex[:8]}"
        with self._locked(operator) as connection:
            self._mend_leftovers(connection, operator)
            work = PartitionWork(connection, self.parquet, TABLES_BY_NAME, operator, run_id, loaded_at, load_id)
            committing = False
            try:
                with connection.transaction():
                    yield work
                    work.refuse_unrecorded()
                    committing = True
            except BaseException:
                # A commit whose answer was lost may have happened: then the staged files are still needed.
                if not committing:
                    self.parquet.discard_staging(operator, load_id)
                raise
            self._publish(connection, operator, work)

    def _publish(self, connection: psycopg.Connection, operator: str, work: PartitionWork) -> None:
        # The lock goes with the connection. If that broke since the commit, another run may have replaced the partition
        # already, and an older file must not go over its newer one.
        connection.execute("SELECT 1")
        for table, period in work.staged:
            self.parquet.publish(table, operator, period, work.load_id)
        self.parquet.discard_staging(operator, work.load_id)

    def mend(self, operator: str) -> list[tuple[str, str]]:
        """Bring the operator's Parquet files up to its ledger; (period, table) of those only a new load can rebuild.

        A staged file is renamed into place; otherwise the file is written again from PostgreSQL, provided the live rows
        are those of the ledger.
        """
        with self._locked(operator) as connection:
            self._mend_leftovers(connection, operator)
            lagging = []
            for load in select_loads(connection, operator):
                for name in load.contents:
                    table = TABLES_BY_NAME[name]
                    if not self._file_is_current(load, table) and not self._export(connection, load, table):
                        lagging.append((load.period, name))
        return lagging

    def _mend_leftovers(self, connection: psycopg.Connection, operator: str) -> None:
        """Under the operator's lock every staged file is that of a dead load: publish the committed, drop the rest."""
        if not self.parquet.has_staged(operator):
            return
        for load in select_loads(connection, operator):
            for name, content in load.contents.items():
                table, load_id = TABLES_BY_NAME[name], content["load_id"]
                if load_id is not None and self.parquet.is_staged(table, operator, load.period, load_id):
                    self.parquet.publish(table, operator, load.period, load_id)
        self.parquet.discard_staging(operator)

    def _file_is_current(self, load: PartitionLoad, table: Table) -> bool:
        content = load.contents[table.name]
        if content["load_id"] is None:
            return True
        found = self.parquet.load_id(table, load.operator_code, load.period)
        rows = self.parquet.rows(table, load.operator_code, load.period)
        return (found, rows) == (content["load_id"], content["rows"])

    def _export(self, connection: psycopg.Connection, load: PartitionLoad, table: Table) -> bool:
        content, operator, period = load.contents[table.name], load.operator_code, load.period
        if not table.in_postgres:
            return False
        live = live_totals(connection, table, operator, period)
        if live != {"rows": content["rows"], "sums": content["sums"]}:
            return False
        rows = copy_out(connection, table, operator=operator, periods=[period], columns=None)
        with self.parquet.writer(table, operator, period, content["load_id"]) as staged:
            staged.write(rows.select(staged.schema.names))
        self.parquet.publish(table, operator, period, content["load_id"])
        self.parquet.discard_staging(operator)
        return True

    def read(
        self,
        table_name: str,
        operator: str | None = None,
        periods: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Committed rows from PostgreSQL, in key order, with the registry's Arrow types; decimals are exact."""
        with self._connected() as connection:
            return copy_out(connection, TABLES_BY_NAME[table_name], operator=operator, periods=periods, columns=columns)

    def ledger(self, operator: str | None = None) -> list[PartitionLoad]:
        """Every ledger row, of one operator or of all, by operator, period and phase."""
        with self._connected() as connection:
            return select_loads(connection, operator)

    def record_failure(self, operator: str, period: str, detail: str, run_id: str) -> bool:
        """A NOT_EVALUATED summary row with `detail`, unless something was loaded or evaluated; whether it was written.

        A row that an earlier failure left is replaced, so that it tells the latest reason.
        """
        checked_period(period)
        with self.replacing(operator, run_id=run_id, loaded_at=datetime.now(UTC)) as work:
            stored = work.read(RECONCILIATION_SUMMARY.name, [period]).to_pylist()
            if any(row["state"] != "NOT_EVALUATED" or row["files"] is not None for row in stored):
                return False
            if any(row["state_detail"] == detail for row in stored):
                return False
            row = pa.table({"state": ["NOT_EVALUATED"], "state_detail": [detail]})
            for column in work.content_schema(RECONCILIATION_SUMMARY.name):
                if column.name not in row.column_names:
                    row = row.append_column(column, pa.nulls(1, column.type))
            work.replace(RECONCILIATION_SUMMARY.name, period, row)
            work.record(period, "reconcile", state="NOT_EVALUATED", state_detail=detail)
        return True

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        """An autocommitting connection; the database's errors become one line each."""
        connection = connect(self.url, autocommit=True)
        try:
            yield connection
        except psycopg.errors.LockNotAvailable:
            raise StorageError(explain_lock(self.url)) from None
        except psycopg.Error as error:
            # Its detail may quote a row: not even a traceback shows it.
            raise StorageError(_explain(self.url, error)) from None
        finally:
            connection.close()

    @contextmanager
    def _locked(self, operator: str) -> Iterator[psycopg.Connection]:
        """The operator's lock, exclusive. It belongs to the session, not the transaction: it must outlast the commit
        until the files are renamed, and goes with the connection, however that ends."""
        name = _LOCK_NAME + checked_operator(operator)
        with self._connected() as connection:
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{self._lock_wait_s}s",))
            try:
                connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (name,))
            except psycopg.errors.LockNotAvailable:
                raise StorageError(
                    f"{operator}: another run has held its partitions for {self._lock_wait_s} s; wait for it or end it"
                ) from None
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{self._lock_timeout_s}s",))
            yield connection


def _explain(url: str, error: psycopg.Error) -> str:
    said = " ".join(str(error.diag.message_primary or error).split())[:300]
    if isinstance(
        error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn | psycopg.errors.InvalidSchemaName
    ):
        return f"PostgreSQL at {server_name(url)}: {said}; run: billing-pipeline db upgrade"
    if isinstance(error, psycopg.DataError | psycopg.errors.ProgramLimitExceeded):
        return f"PostgreSQL at {server_name(url)}: {said}; nothing was replaced, and this is a defect to report"
    return f"PostgreSQL at {server_name(url)}: {said}; run again once it is back"
