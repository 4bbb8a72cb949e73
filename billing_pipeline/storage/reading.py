"""Reading results for many callers at once: a small asyncio pool of connections that can only read.

One statement is one snapshot (`rows`); what takes several, or streams, runs in one read-only transaction (`snapshot`).
What is asked for is not known here. Nothing is ever written: the session is read-only and, where the database lets it,
a `billing_analyst`.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from billing_pipeline.errors import StorageError
from billing_pipeline.schemas.sql import ANALYST, SCHEMA
from billing_pipeline.storage.connections import (
    SESSION_SETTINGS,
    connect,
    explain_connection_error,
    libpq_url,
    server_name,
)
from billing_pipeline.storage.migrate import head

APPLICATION_NAME = "billing_pipeline serve"
# Eight statements at once keep two cores of a server busy; half of them may be streams, which last as long as their
# reader does, so that slow readers never keep short answers from being given.
SIZE, STREAMS = 8, 4
WAIT_S = 5.0
BATCH_ROWS = 1000
_SETTINGS = {
    **SESSION_SETTINGS,
    "default_transaction_read_only": "on",
    "statement_timeout": "30s",
    "lock_timeout": "5s",
    # A reader that stopped reading its stream holds back the cleaning-up of dead rows as long as it lasts.
    "idle_in_transaction_session_timeout": "60s",
}
_log = logging.getLogger(__name__)
Parameters = Mapping[str, Any]
Row = tuple[Any, ...]


def refuse_unready(url: str) -> None:
    """StorageError that names the remedy unless the database has the tables this program reads."""
    table = sql.Identifier(SCHEMA, "alembic_version")
    with connect(url, application_name=APPLICATION_NAME) as connection:
        try:
            found = connection.execute(sql.SQL("SELECT max(version_num) FROM {}").format(table)).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            found = None
        except psycopg.Error as error:
            raise StorageError(_explain(url, error)) from None
    revision = found[0] if found else None
    if revision == head():
        return
    there = "it has no schema 'billing' yet" if revision is None else f"its schema is revision {revision}"
    remedy = (
        "install the newer program that wrote it" if (revision or "") > head() else "run: billing-pipeline db upgrade"
    )
    raise StorageError(f"PostgreSQL at {server_name(url)}: {there}, this program reads revision {head()}; {remedy}")


class Snapshot:
    """One state of the database, however long it takes to read it."""

    def __init__(self, connection: psycopg.AsyncConnection[Row]) -> None:
        self._connection = connection

    async def rows(self, statement: LiteralString, parameters: Parameters) -> list[Row]:
        return await (await self._connection.execute(statement, parameters)).fetchall()

    async def batches(self, statement: LiteralString, parameters: Parameters) -> AsyncIterator[list[Row]]:
        """The rows, BATCH_ROWS at a time, through a server-side cursor: memory does not grow with their number."""
        async with self._connection.cursor(name="results") as cursor:
            await cursor.execute(statement, parameters)
            while rows := await cursor.fetchmany(BATCH_ROWS):
                yield rows


class ReadPool:
    """At most `size` connections, opened when needed; `streams` of them at once may be in a `snapshot`.

    StorageError when the database cannot be reached, cuts us off, takes too long, or all connections stay taken for
    `wait_s` seconds. It recovers by itself: connections that died while they waited are replaced, unseen by the caller.
    """

    def __init__(self, url: str, *, size: int = SIZE, streams: int = STREAMS, wait_s: float = WAIT_S) -> None:
        self._url = url
        self._wait_s = wait_s
        self._free = asyncio.Semaphore(size)
        self._streams = asyncio.Semaphore(streams)
        self._idle: list[psycopg.AsyncConnection[Row]] = []
        self._open: set[psycopg.AsyncConnection[Row]] = set()
        self._warned = False

    @property
    def taken(self) -> int:
        """Connections somebody is using."""
        return len(self._open) - len(self._idle)

    async def rows(self, statement: LiteralString, parameters: Parameters) -> list[Row]:
        """The rows of one statement."""
        async with self._slot(self._free), self._errors():
            connection, cursor = await self._started(statement, parameters)
            try:
                return await cursor.fetchall()
            finally:
                await self._give_back(connection)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """A read-only transaction in which every statement sees the same state."""
        async with self._slot(self._streams), self._slot(self._free), self._errors():
            connection, _ = await self._started("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", {})
            try:
                yield Snapshot(connection)
                await connection.execute("COMMIT")
            finally:
                await self._give_back(connection)

    async def _started(
        self, statement: LiteralString, parameters: Parameters
    ) -> tuple[psycopg.AsyncConnection[Row], psycopg.AsyncCursor[Row]]:
        """A connection that has run the statement; to be given back.

        Where the server has restarted since a connection was last used, all that waited are dead, and a new one is made.
        """
        if self._idle:
            connection = self._idle.pop()
            try:
                return connection, await connection.execute(statement, parameters)
            except BaseException as error:
                cut_off = isinstance(error, psycopg.OperationalError) and connection.broken
                await self._give_back(connection)
                if not cut_off:
                    raise
                await self._close_idle()
        connection = await self._connect()
        self._open.add(connection)
        try:
            return connection, await connection.execute(statement, parameters)
        except BaseException:
            await self._give_back(connection)
            raise

    async def close(self) -> None:
        for connection in tuple(self._open):
            await connection.close()
        self._open.clear()
        self._idle.clear()

    @asynccontextmanager
    async def _slot(self, slots: asyncio.Semaphore) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._wait_s):
                await slots.acquire()
        except TimeoutError:
            raise StorageError("all connections to the database are in use; ask again in a moment") from None
        try:
            yield
        finally:
            slots.release()

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise StorageError(_explain(self._url, error)) from None

    async def _give_back(self, connection: psycopg.AsyncConnection[Row]) -> None:
        """Keep it when it is at rest; one cut off in the middle of an answer is closed, which ends its work there."""
        if connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            self._open.discard(connection)
            await connection.close()

    async def _close_idle(self) -> None:
        while self._idle:
            connection = self._idle.pop()
            self._open.discard(connection)
            await connection.close()

    async def _connect(self) -> psycopg.AsyncConnection[Row]:
        connection = await psycopg.AsyncConnection.connect(
            libpq_url(self._url),
            autocommit=True,
            application_name=APPLICATION_NAME,
            connect_timeout=int(os.environ.get("PGCONNECT_TIMEOUT", "5")),
            keepalives_idle=30,
            client_encoding="UTF8",
        )
        settings = sql.SQL(", ").join(
            sql.SQL("set_config({}, {}, false)").format(name, value) for name, value in _SETTINGS.items()
        )
        try:
            await connection.execute(sql.SQL("SELECT ") + settings)
            await self._become_analyst(connection)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _become_analyst(self, connection: psycopg.AsyncConnection[Row]) -> None:
        """What can only read cannot be made to write, whatever a request holds."""
        try:
            await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(ANALYST)))
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue):
            if not self._warned:
                self._warned = True
                _log.warning(
                    "PostgreSQL at %s: this role may not become %s, so it reads with its own rights (read-only all the same)",
                    server_name(self._url), ANALYST,
                )  # fmt: skip


def _explain(url: str, error: psycopg.Error) -> str:
    """One line without a password: what failed and who can mend it."""
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return f"PostgreSQL at {server_name(url)}: {error.diag.message_primary}; run: billing-pipeline db upgrade"
    if isinstance(error, psycopg.errors.QueryCanceled):
        return f"PostgreSQL at {server_name(url)}: the statement took longer than {_SETTINGS['statement_timeout']}"
    if error.diag.message_primary is not None:
        return f"PostgreSQL at {server_name(url)}: {error.diag.message_primary}"
    return explain_connection_error(url, error)
