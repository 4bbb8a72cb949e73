"""Schema rebilling in PostgreSQL: events, and the rows they come to, written together. What an event means is not known here."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from billing_pipeline.errors import StorageError
from billing_pipeline.schemas.columns import Table
from billing_pipeline.schemas.rebilling import CUSTOMER_INVOICE_EVENTS, CUSTOMER_INVOICE_LINES, CUSTOMER_INVOICES
from billing_pipeline.schemas.sql import REBILLING_SCHEMA
from billing_pipeline.storage.connections import connect, server_name
from billing_pipeline.storage.copying import columns_sql

_LOCK = "hashtextextended('billing_pipeline:rebilling', 0)"
_POLL_S = 0.1
_NOTHING = sql.SQL("")
Row = dict[str, Any]


class InvoiceTables:
    """One connection, which also holds the lock: once it is lost, nothing more can be written down, nor be sent."""

    def __init__(self, connection: psycopg.Connection, url: str) -> None:
        self._connection = connection
        self._url = url

    @classmethod
    @contextmanager
    def opened(cls, url: str, *, lock_wait_s: float | None, busy: str = "") -> Iterator["InvoiceTables"]:
        """With the lock of all writers, waited for so long, StorageError `busy` after that; None: without, to read."""
        connection = connect(url, autocommit=True)
        try:
            if lock_wait_s is not None:
                _lock(connection, lock_wait_s, busy, url)
            yield cls(connection, url)
        finally:
            connection.close()

    def events(self, period: str) -> list[Row]:
        """Every event of the period by customer and sequence, `at` and `content` as they are stored."""
        return self._rows(CUSTOMER_INVOICE_EVENTS, "period = %s", period)

    def invoices(self, period: str) -> list[Row]:
        return self._rows(CUSTOMER_INVOICES, "period = %s", period)

    def lines(self, period: str) -> list[Row]:
        return self._rows(CUSTOMER_INVOICE_LINES, "period = %s", period)

    def by_number(self, number: str) -> list[Row]:
        """The invoices of this number, of any customer and period."""
        return self._rows(CUSTOMER_INVOICES, "number = %s", number)

    def write(self, event: Mapping[str, Any], invoice: Mapping[str, Any], lines: Sequence[Row] | None) -> None:
        """One event, the row it leaves the invoice in, and its lines unless None, in one transaction."""
        with self._explained(), self._connection.transaction():
            stored = {**event, "content": Jsonb(event["content"])}
            self._insert(CUSTOMER_INVOICE_EVENTS, [stored])
            self._upsert(invoice)
            if lines is not None:
                self._connection.execute(
                    sql.SQL("DELETE FROM {} WHERE customer_id = %s AND period = %s").format(
                        _named(CUSTOMER_INVOICE_LINES)
                    ),
                    (invoice["customer_id"], invoice["period"]),
                )
                self._insert(CUSTOMER_INVOICE_LINES, lines)

    def rewrite(self, invoice: Mapping[str, Any], lines: Sequence[Row]) -> None:
        """The row and the lines without an event: both follow from the events there are."""
        with self._explained(), self._connection.transaction():
            self._upsert(invoice)
            self._connection.execute(
                sql.SQL("DELETE FROM {} WHERE customer_id = %s AND period = %s").format(_named(CUSTOMER_INVOICE_LINES)),
                (invoice["customer_id"], invoice["period"]),
            )
            self._insert(CUSTOMER_INVOICE_LINES, lines)

    def _upsert(self, invoice: Mapping[str, Any]) -> None:
        self._insert(
            CUSTOMER_INVOICES,
            [invoice],
            sql.SQL(" ON CONFLICT (customer_id, period) DO UPDATE SET {}").format(
                sql.SQL(", ").join(
                    sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in CUSTOMER_INVOICES.names
                )
            ),
        )

    def _insert(self, table: Table, rows: Sequence[Mapping[str, Any]], otherwise: sql.Composable = _NOTHING) -> None:
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}){}").format(
            _named(table), columns_sql(table.names), sql.SQL(", ").join(map(sql.Placeholder, table.names)), otherwise
        )
        with self._connection.cursor() as cursor:
            cursor.executemany(statement, rows)

    def _rows(self, table: Table, condition: str, value: str) -> list[Row]:
        query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}").format(
            columns_sql(table.names), _named(table), sql.SQL(condition), columns_sql(table.key)
        )
        with self._explained(), self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, (value,)).fetchall()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            said = error.diag.message_primary or type(error).__name__
            raise StorageError(
                f"PostgreSQL at {server_name(self._url)}: {said}; nothing more is sent; run again once it is back"
            ) from None


def _named(table: Table) -> sql.Identifier:
    return sql.Identifier(REBILLING_SCHEMA, table.name)


def _lock(connection: psycopg.Connection, wait_s: float, busy: str, url: str) -> None:
    deadline = time.monotonic() + wait_s
    while connection.execute(f"SELECT pg_try_advisory_lock({_LOCK})").fetchone() != (True,):
        if time.monotonic() >= deadline:
            raise StorageError(f"{busy} (PostgreSQL at {server_name(url)})")
        time.sleep(_POLL_S)
