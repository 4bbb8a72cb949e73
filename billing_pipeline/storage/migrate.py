"""Brings a database's schemas up to this program's: alembic behind one function, and the analysts' role.

The steps themselves are in migrations/. Schemas billing and rebilling each have a history of their own: what customers
were invoiced stays as it is when the other one is dropped and built anew. A role belongs to the whole server and not to a schema's history, so it
is looked after here, on every call.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from billing_pipeline.errors import StorageError
from billing_pipeline.schemas.sql import ANALYST, REBILLING_SCHEMA, SCHEMA
from billing_pipeline.storage.connections import connect, engine, server_name
from billing_pipeline.storage.marts import DROP_VIEWS

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('billing_pipeline:migrate', 0))"


@dataclass(frozen=True, slots=True)
class History:
    """A schema and the folder of its revisions; `prefix` stands before theirs in what `upgrade` returns."""

    schema: str
    versions: Path
    prefix: str = ""


BILLING = History(SCHEMA, MIGRATIONS / "versions")
REBILLING = History(REBILLING_SCHEMA, MIGRATIONS / "rebilling_versions", prefix=f"{REBILLING_SCHEMA} ")
_log = logging.getLogger(__name__)
_warned: set[str] = set()


def head(history: History = BILLING) -> str:
    """The newest revision this program has, read off the file names: importing alembic takes longer than the check."""
    return max(re.match(r"\d{4}", path.name)[0] for path in history.versions.glob("[0-9]*.py"))  # type: ignore[index]


def upgrade(url: str) -> list[str]:
    """Apply every pending revision, all or none, and return them in order; safe when two processes call it at once.

    Creates role billing_analyst and its grants where they are missing and the connecting role may; warns once where it
    may not. StorageError when the database is newer than this program or the role may not change it.
    """
    try:
        with connect(url) as connection:
            applied = []
            for history in (BILLING, REBILLING):
                if _revision(connection, history) != head(history):
                    applied += [history.prefix + revision for revision in _run_alembic(url, history)]
                _ensure_analyst(connection, url, history.schema)
            _keep_analyst_from_temporary_tables(connection)
            _keep_analyst_from_large_objects(connection)
    except psycopg.Error as error:
        raise StorageError(_explain(url, error)) from None
    return applied


def _revision(connection: psycopg.Connection, history: History) -> str | None:
    table = f"{history.schema}.alembic_version"
    if connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() == (None,):
        return None
    row = connection.execute(sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(*table.split(".")))).fetchone()
    return None if row is None else str(row[0])


def _run_alembic(url: str, history: History) -> list[str]:
    import sqlalchemy
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    from billing_pipeline.schemas.sql import metadata, rebilling_metadata

    applied: list[str] = []

    def note(*, step: Any, **_: Any) -> None:
        applied.append(step.up_revision_id)

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("version_locations", str(history.versions).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")  # a folder may have a space or a colon in its name
    config.attributes["schema"] = history.schema
    config.attributes["metadata"] = metadata if history is BILLING else rebilling_metadata
    made = engine(url)
    try:
        with made.begin() as connection:
            connection.execute(sqlalchemy.text(_LOCK))
            connection.execute(sqlalchemy.schema.CreateSchema(history.schema, if_not_exists=True))
            if history is BILLING:
                # A view over a column keeps it from being changed. The marts are derived, the next run makes them again.
                connection.execute(sqlalchemy.text(DROP_VIEWS))
            config.attributes.update(connection=connection, on_version_apply=note)
            command.upgrade(config, "head")
    except CommandError as error:
        raise StorageError(
            f"PostgreSQL at {server_name(url)}: its schema is not one this program knows ({error}); install the newer"
            " program that wrote it"
        ) from None
    except sqlalchemy.exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise StorageError(_explain(url, error.orig)) from None
        raise
    finally:
        made.dispose()
    return applied


def _explain(url: str, error: psycopg.Error) -> str:
    said = error.diag.message_primary or " ".join(str(error).split())
    remedy = "run again"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        remedy = "connect as the database's owner, or have it run: GRANT CREATE ON DATABASE … TO this role"
    return f"PostgreSQL at {server_name(url)}: the schema cannot be brought up to date: {said}; {remedy}"


def _ensure_analyst(connection: psycopg.Connection, url: str, schema: str) -> None:
    """billing_analyst may read every table and view of the schema, future ones included, and nothing more."""
    if _has_grants(connection, schema):
        return
    try:
        connection.rollback()
        connection.execute(_LOCK)
        _create_role(connection)
        names = {"schema": sql.Identifier(schema), "role": sql.Identifier(ANALYST)}
        for statement in (
            "GRANT USAGE ON SCHEMA {schema} TO {role}",
            "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {role}",
        ):
            connection.execute(sql.SQL(statement).format(**names))
        connection.commit()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject):
        connection.rollback()
        server = server_name(url)
        if server not in _warned:
            _warned.add(server)
            _log.warning(
                "PostgreSQL at %s: this role may not create %s, so analysts have no access yet; have an administrator"
                " run: CREATE ROLE %s NOLOGIN", server, ANALYST, ANALYST,
            )  # fmt: skip


def _keep_analyst_from_temporary_tables(connection: psycopg.Connection) -> None:
    """PostgreSQL lets everyone make temporary tables, which fill the disk like any other: not in a database we own.

    The owner keeps the right, whatever PUBLIC has. Another's database is the other's to decide.
    """
    everyone = connection.execute(
        "SELECT EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) AS a"
        " WHERE a.grantee = 0 AND a.privilege_type = 'TEMPORARY') AND pg_has_role(datdba, 'USAGE'), datname"
        " FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    if everyone is not None and everyone[0]:
        connection.execute(sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(sql.Identifier(everyone[1])))
        connection.commit()


_LARGE_OBJECT_MAKERS = (
    "SELECT p.oid::regprocedure::text FROM pg_proc AS p, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS a"
    " WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea')"
    " AND a.grantee = 0 AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
)


def _keep_analyst_from_large_objects(connection: psycopg.Connection) -> None:
    """They too fill the disk, and PostgreSQL lets everyone make them. Only a superuser can take that away."""
    if not connection.execute(_LARGE_OBJECT_MAKERS).fetchall():
        return
    # Another process may be at it: PostgreSQL refuses the second of two that change a function's rights at once.
    connection.rollback()
    connection.execute(_LOCK)
    makers = connection.execute(_LARGE_OBJECT_MAKERS).fetchall()
    for (maker,) in makers:
        connection.execute(sql.SQL("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC").format(sql.SQL(maker)))
    connection.commit()


def _has_grants(connection: psycopg.Connection, schema: str) -> bool:
    """Whether the role exists and may read every relation of the schema."""
    row = connection.execute(
        """
        SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s)
           AND has_schema_privilege(%(role)s, %(schema)s, 'USAGE')
           AND NOT EXISTS (SELECT FROM pg_class AS c
                           WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
                             AND NOT has_table_privilege(%(role)s, c.oid, 'SELECT'))
           AND EXISTS (SELECT FROM pg_default_acl AS d, aclexplode(d.defaclacl) AS a
                       WHERE d.defaclnamespace = %(schema)s::regnamespace AND d.defaclobjtype = 'r'
                         AND d.defaclrole = current_user::regrole
                         AND a.grantee = (SELECT oid FROM pg_roles WHERE rolname = %(role)s))
        WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s)
        """,
        {"role": ANALYST, "schema": schema},
    ).fetchone()
    return row == (True,)


def _create_role(connection: psycopg.Connection) -> None:
    """Roles are shared by the server's databases, so another one's upgrade may create it at this very moment."""
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (ANALYST,)).fetchone() is not None:
        return
    try:
        with connection.transaction():
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(ANALYST)))
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        return
