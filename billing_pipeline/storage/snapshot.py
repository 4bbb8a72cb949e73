"""Reads of one moment: every statement of a snapshot sees the same committed rows. Nothing is written here.

What is read, and what for, is the reader's matter (reports/).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from billing_pipeline.errors import StorageError
from billing_pipeline.storage.connections import connect, server_name

# Rows per round trip of a statement that streams: a report of a million rows is never in memory whole.
_ROWS_PER_FETCH = 5000


class Snapshot:
    """One moment of the database; made by `snapshot`."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._count = 0

    def rows(self, statement: LiteralString, **values: Any) -> Iterator[dict[str, Any]]:
        """The statement's rows as dictionaries, fetched as they are asked for; `%(name)s` stands for a value."""
        self._count += 1
        with self._connection.cursor(f"report_{self._count}", row_factory=dict_row) as cursor:
            cursor.itersize = _ROWS_PER_FETCH
            yield from cursor.execute(statement, values)

    def row(self, statement: LiteralString, **values: Any) -> dict[str, Any] | None:
        """The only row of a statement that has one at the most."""
        return next(iter(list(self.rows(statement, **values))), None)


@contextmanager
def snapshot(url: str) -> Iterator[Snapshot]:
    """A read-only transaction in which all statements see what was committed before the first of them."""
    connection = connect(url, application_name="billing_pipeline report")
    try:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield Snapshot(connection)
    except psycopg.Error as error:
        said = " ".join(str(error.diag.message_primary or error).split())[:300]
        raise StorageError(f"PostgreSQL at {server_name(url)}: {said}; run again once it is back") from None
    finally:
        connection.close()
