"""The analysts' schema beside ours: its existence, its reader, the contract terms in it, which project its views are of.

The views themselves are made by dbt (steps/marts.py, dbt_project/). Everything here can be dropped: the next run makes
it again.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from billing_pipeline.errors import StorageError
from billing_pipeline.schemas.sql import ANALYST
from billing_pipeline.storage.connections import connect, server_name

MARTS_SCHEMA = "billing_marts"
APPLICATION_NAME = "billing_pipeline marts"
# Longer than dbt is given (steps/marts.py), so that whoever waits for another's dbt outlasts it.
_LOCK_WAIT = "20min"
_LOCK_KEY = "hashtextextended('billing_pipeline:marts', 0)"
_TABLE = """\
CREATE TABLE IF NOT EXISTS billing_marts.operator_terms (
    operator_code text PRIMARY KEY,
    operator_name text NOT NULL,
    claim_months integer NOT NULL CHECK (claim_months >= 1),
    is_configured boolean NOT NULL
)"""
_COMMENTS = (
    "COMMENT ON TABLE billing_marts.operator_terms IS 'One row per operator that is or was configured.'",
    "COMMENT ON COLUMN billing_marts.operator_terms.operator_code IS 'The operator (OI).'",
    "COMMENT ON COLUMN billing_marts.operator_terms.operator_name IS 'Its name in the configuration.'",
    "COMMENT ON COLUMN billing_marts.operator_terms.claim_months IS "
    "'Months after payment within which a refund can be claimed, from the configuration.'",
    "COMMENT ON COLUMN billing_marts.operator_terms.is_configured IS 'Whether the configuration still names it.'",
)
_STORE_TERMS = """\
INSERT INTO billing_marts.operator_terms AS known (operator_code, operator_name, claim_months, is_configured)
VALUES (%s, %s, %s, true)
ON CONFLICT (operator_code) DO UPDATE
SET operator_name = excluded.operator_name, claim_months = excluded.claim_months, is_configured = true
WHERE (known.operator_name, known.claim_months, known.is_configured)
    IS DISTINCT FROM (excluded.operator_name, excluded.claim_months, true)"""
_FORGET_TERMS = """\
UPDATE billing_marts.operator_terms SET is_configured = false WHERE is_configured AND operator_code <> ALL (%s)"""


@dataclass(frozen=True, slots=True)
class OperatorTerms:
    """What a configured operator's contract says; `claim_months` after payment a claim lapses."""

    operator_code: str
    operator_name: str
    claim_months: int


def prepare(url: str, terms: Sequence[OperatorTerms]) -> None:
    """The schema with the analysts' access to it and the terms as they are now; writes only what differs.

    StorageError where our role may not make a schema.
    """
    try:
        with connect(url, application_name=APPLICATION_NAME) as connection:
            if not _exists(connection):
                _create(connection)
            _give_access(connection)
            for one in terms:
                connection.execute(_STORE_TERMS, (one.operator_code, one.operator_name, one.claim_months))
            connection.execute(_FORGET_TERMS, ([one.operator_code for one in terms],))
    except psycopg.Error as error:
        raise StorageError(_explain(url, error)) from None


def is_current(url: str, digest: str, views: Iterable[str]) -> bool:
    """Whether the last complete build was of this project, all its views are there and analysts can read them."""
    wanted = sorted(views)
    with connect(url, application_name=APPLICATION_NAME) as connection:
        found = connection.execute(
            "SELECT obj_description(to_regnamespace(%(schema)s)::oid, 'pg_namespace') IS NOT DISTINCT FROM %(comment)s"
            " AND NOT EXISTS (SELECT FROM unnest(%(views)s::text[]) AS name"
            " WHERE to_regclass(format('%%I.%%I', %(schema)s, name)) IS NULL)",
            {"schema": MARTS_SCHEMA, "comment": _comment(digest), "views": wanted},
        ).fetchone()
        return found == (True,) and (not _analyst_exists(connection) or _analyst_reads(connection))


def record(url: str, digest: str) -> None:
    """Say that all views are those of this project."""
    statement = sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(MARTS_SCHEMA), _comment(digest))
    with connect(url, application_name=APPLICATION_NAME) as connection:
        connection.execute(statement)


def analyst_exists(url: str) -> bool:
    with connect(url, application_name=APPLICATION_NAME) as connection:
        return _analyst_exists(connection)


@contextmanager
def one_at_a_time(url: str) -> Iterator[None]:
    """Nobody else makes the marts of this database meanwhile, from whichever machine."""
    with connect(url, autocommit=True, application_name=APPLICATION_NAME) as connection:
        try:
            connection.execute(sql.SQL("SET lock_timeout = {}").format(_LOCK_WAIT))
            connection.execute(f"SELECT pg_advisory_lock({_LOCK_KEY})")
        except psycopg.errors.LockNotAvailable:
            raise StorageError(
                f"PostgreSQL at {server_name(url)}: another process has been making the marts for {_LOCK_WAIT};"
                " see whether its dbt still runs, then run again"
            ) from None
        except psycopg.Error as error:
            raise StorageError(_explain(url, error)) from None
        # The lock goes with the connection, also when this process is killed.
        yield


def connection_settings(url: str) -> dict[str, str]:
    """What libpq made of the URL and its environment: host (or the socket's folder), port, user, password, dbname and,
    where set, sslmode, sslrootcert, sslcert, sslkey."""
    with connect(url, application_name=APPLICATION_NAME) as connection:
        info = connection.info
        parameters = info.get_parameters()
        known = {
            "host": info.host, "port": str(info.port), "user": info.user, "password": info.password,
            "dbname": info.dbname,
        }  # fmt: skip
        ssl = {name: parameters[name] for name in ("sslmode", "sslrootcert", "sslcert", "sslkey") if name in parameters}
    return {**known, **ssl}


DROP_VIEWS = """\
DO $$
DECLARE one record;
BEGIN
    FOR one IN SELECT viewname FROM pg_views WHERE schemaname = 'billing_marts' LOOP
        EXECUTE format('DROP VIEW IF EXISTS billing_marts.%I CASCADE', one.viewname);
    END LOOP;
END $$"""


def _exists(connection: psycopg.Connection) -> bool:
    return connection.execute("SELECT to_regclass('billing_marts.operator_terms')").fetchone() != (None,)


def _create(connection: psycopg.Connection) -> None:
    # Two creators at once: IF NOT EXISTS still fails for the one that loses, unless it waits.
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('billing_pipeline:marts schema', 0))")
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(MARTS_SCHEMA)))
    connection.execute(_TABLE)
    for comment in _COMMENTS:
        connection.execute(comment)


def _give_access(connection: psycopg.Connection) -> None:
    """To the schema and the terms; dbt grants the views as it makes them."""
    if not _analyst_exists(connection):
        return
    granted = connection.execute(
        "SELECT has_schema_privilege(%(role)s, %(schema)s, 'USAGE')"
        " AND has_table_privilege(%(role)s, 'billing_marts.operator_terms', 'SELECT')",
        {"role": ANALYST, "schema": MARTS_SCHEMA},
    ).fetchone()
    if granted != (True,):
        names = {"schema": sql.Identifier(MARTS_SCHEMA), "role": sql.Identifier(ANALYST)}
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {role}").format(**names))
        connection.execute(sql.SQL("GRANT SELECT ON {schema}.operator_terms TO {role}").format(**names))


def _analyst_exists(connection: psycopg.Connection) -> bool:
    return connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (ANALYST,)).fetchone() is not None


def _analyst_reads(connection: psycopg.Connection) -> bool:
    found = connection.execute(
        "SELECT has_schema_privilege(%(role)s, %(schema)s, 'USAGE') AND NOT EXISTS ("
        " SELECT FROM pg_class WHERE relnamespace = %(schema)s::regnamespace AND relkind IN ('r', 'v')"
        " AND NOT has_table_privilege(%(role)s, oid, 'SELECT'))",
        {"role": ANALYST, "schema": MARTS_SCHEMA},
    ).fetchone()
    return found == (True,)


def _comment(digest: str) -> str:
    return f"The analysts' layer over schema billing: views made by dbt from project {digest}."


def _explain(url: str, error: psycopg.Error) -> str:
    said = error.diag.message_primary or " ".join(str(error).split())
    remedy = "run again"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        remedy = "connect as the database's owner, or have it run: GRANT CREATE ON DATABASE … TO this role"
    return f"PostgreSQL at {server_name(url)}: schema {MARTS_SCHEMA} cannot be prepared: {said}; {remedy}"
