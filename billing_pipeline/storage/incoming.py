"""Rows on their way into one partition's tables: staged as Parquet and copied into PostgreSQL side by side, counted.

Three threads of work beside the caller's: Parquet, text for COPY, sending. Arrow and the socket do most of it outside the
interpreter, and the server is busy from the first group on. When all of it is committed is replacement.py's business.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from billing_pipeline.errors import StorageError
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.columns import Table
from billing_pipeline.storage.copying import CopySender, explain_refusal, qualified, without_nul
from billing_pipeline.storage.ledger import decimal_columns, live_totals
from billing_pipeline.storage.parquet import ParquetStore, StagedFile

# Each group is one Parquet row group and one COPY; 50 000 invoice lines are about 20 MB of CSV.
_ROWS_PER_GROUP = 50_000
# The groups of lines, shares and charges fill up together: with fewer places the caller would wait for each in turn.
_MOST_GROUPS_WAITING = 2


@dataclass(frozen=True, slots=True)
class Stamp:
    """What every row of a load carries, and which partition it goes to."""

    operator: str
    period: str
    run_id: str
    loaded_at: datetime
    load_id: str


class Incoming:
    """A context manager; on leaving without an error everything is staged and stored, and both agree.

    `rows` and `totals` (the ledger's form), by table, are known then. StorageError, from `write` or on leaving, when the
    database or the disk refuses a row, a required column holds null, or what is stored is not what was staged.
    """

    def __init__(
        self, connection: psycopg.Connection, parquet: ParquetStore, tables: Sequence[Table], stamp: Stamp
    ) -> None:
        self._connection = connection
        self._parquet = parquet
        self._stamp = stamp
        self._tables = {table.name: _Gathered(table) for table in tables}
        self.totals: dict[str, dict[str, Any]] = {}

    @property
    def rows(self) -> dict[str, int]:
        return {name: totals["rows"] for name, totals in self.totals.items()}

    def write(self, table_name: str, rows: pa.RecordBatch) -> None:
        """Take content columns, in any order, into the table; they may wait for more before they are sent."""
        gathered = self._tables[table_name]
        if (group := gathered.add(rows)) is not None:
            self._flush(gathered, group)

    def settle(self) -> None:
        """Send what waits and close the files, which are whole from here on, while the server still copies and adds up.

        Nothing is written after it. Whoever has other work for the files need not wait for the server; leaving does.
        """
        self._guarded(self._settle)

    def __enter__(self) -> Self:
        self._sender = CopySender(self._connection)
        self._stager = ThreadPoolExecutor(1, thread_name_prefix="parquet")
        self._writing: deque[Future[None]] = deque()
        self._files = ExitStack()
        self._staged: dict[str, StagedFile] = {}
        self._stored: dict[str, Future[dict[str, Any]]] | None = None
        try:
            for name, one in self._tables.items():
                if one.table.in_parquet:
                    file = self._parquet.writer(
                        one.table, self._stamp.operator, self._stamp.period, self._stamp.load_id
                    )
                    self._staged[name] = self._files.enter_context(file)
                if one.table.in_postgres:
                    self._sender.execute(lambda connection, table=one.table: self._delete(connection, table))  # type: ignore[misc]
        except BaseException as error:
            self._abandon(error)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self._abandon(error)
            return
        try:
            self._guarded(self._finish)
        except BaseException as failure:
            self._abandon(failure)
            raise

    def _settle(self) -> dict[str, "Future[dict[str, Any]]"]:
        """Once; what is stored of each table, when the server has told it."""
        if self._stored is not None:
            return self._stored
        for one in self._tables.values():
            if (group := one.rest()) is not None:
                self._flush(one, group)
        self._stored = {
            name: self._sender.execute(
                lambda connection, table=one.table: live_totals(  # type: ignore[misc]
                    connection, table, self._stamp.operator, self._stamp.period
                )
            )
            for name, one in self._tables.items()
            if one.table.in_postgres
        }
        self._staging_done()
        self._files.close()
        return self._stored

    def _finish(self) -> None:
        stored = self._settle()
        self._sender.wait()
        self._release()
        for name, one in self._tables.items():
            written = one.totals()
            if name in stored and (found := stored[name].result()) != written:
                raise StorageError(
                    f"{self._where(one.table)}: staged {_brief(written)}, stored {_brief(found)}; nothing was replaced"
                )
            self.totals[name] = written

    def _abandon(self, error: BaseException) -> None:
        self._release()
        self._files.__exit__(type(error), error, error.__traceback__)

    def _release(self) -> None:
        self._sender.close()
        self._stager.shutdown(wait=True, cancel_futures=True)

    def _flush(self, gathered: "_Gathered", group: pa.Table) -> None:
        table = gathered.table
        rows = self._complete(table, group)
        gathered.count(rows)
        if table.name in self._staged:
            self._staging_done(_MOST_GROUPS_WAITING)
            staged = self._staged[table.name]
            self._writing.append(self._stager.submit(lambda: staged.write(rows.select(staged.schema.names))))
        if table.in_postgres:
            self._guarded(lambda: self._sender.send(table, rows))

    def _staging_done(self, waiting: int = 0) -> None:
        """Once at most so many groups wait to be staged."""
        while len(self._writing) > waiting:
            self._writing.popleft().result()

    def _guarded(self, work: Callable[[], object]) -> None:
        """The database's refusal of a row, of whichever table it was, as our error."""
        try:
            work()
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            copied = re.match(r"COPY (\w+)", error.diag.context or "")
            name = error.diag.table_name or (copied[1] if copied else "")
            known = self._tables.get(name) or next(iter(self._tables.values()))
            raise StorageError(
                f"{self._where(known.table)}: refused by the database: {explain_refusal(error)}; nothing was replaced"
            ) from None

    def _delete(self, connection: psycopg.Connection, table: Table) -> None:
        connection.execute(
            sql.SQL("DELETE FROM {} WHERE operator_code = %s AND period = %s").format(qualified(table)),
            (self._stamp.operator, self._stamp.period),
        )

    def _where(self, table: Table) -> str:
        return f"{table.name} {self._stamp.operator} {self._stamp.period}"

    def _complete(self, table: Table, rows: pa.Table) -> pa.Table:
        """`rows` with all the registry's columns, in its order and types."""
        schema = content_schema(table)
        if sorted(rows.column_names) != sorted(schema.names):
            odd = sorted(set(rows.column_names) ^ set(schema.names)) or "a column twice"
            raise ValueError(f"{self._where(table)}: its columns are not the registry's: {odd}")
        rows = without_nul(rows.select(schema.names))
        for column in schema:
            if not column.nullable and rows.column(column.name).null_count:
                raise StorageError(
                    f"{self._where(table)}: required column {column.name} holds null; nothing was replaced"
                )
        rows = rows.cast(schema)
        surrounding = {
            "operator_code": pa.scalar(self._stamp.operator),
            "period": pa.scalar(self._stamp.period),
            "run_id": pa.scalar(self._stamp.run_id),
            "loaded_at": pa.scalar(self._stamp.loaded_at, pa.timestamp("us", tz="UTC")),
        }
        columns = [
            pa.repeat(surrounding[name], len(rows)) if name in surrounding else rows.column(name)
            for name in table.names
        ]
        return pa.table(columns, names=list(table.names))


class _Gathered:
    """One table's rows until they are a group, and the count and decimal sums of those that were."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._rows = 0
        self._sums: dict[str, Decimal | None] = dict.fromkeys(decimal_columns(table) if table.in_postgres else ())
        self._waiting: list[pa.RecordBatch] = []
        self._held = 0

    def add(self, rows: pa.RecordBatch) -> pa.Table | None:
        """A full group, if this completes one."""
        self._waiting.append(rows)
        self._held += rows.num_rows
        return self.rest() if self._held >= _ROWS_PER_GROUP else None

    def rest(self) -> pa.Table | None:
        waiting, self._waiting, self._held = self._waiting, [], 0
        return pa.Table.from_batches(waiting) if waiting else None

    def count(self, rows: pa.Table) -> None:
        self._rows += len(rows)
        for name, so_far in self._sums.items():
            more = pc.sum(rows.column(name)).as_py()
            if more is not None:
                self._sums[name] = more if so_far is None else so_far + more

    def totals(self) -> dict[str, Any]:
        sums = {name: None if total is None else f"{total:f}" for name, total in self._sums.items()}
        return {"rows": self._rows, "sums": sums}


def _brief(totals: Mapping[str, Any]) -> str:
    sums = ", ".join(f"{name} {total}" for name, total in totals["sums"].items() if total is not None)
    return f"{totals['rows']} rows" + (f" ({sums})" if sums else "")
