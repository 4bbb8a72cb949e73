"""How one connects to PostgreSQL: URLs per driver, session limits, errors without a password. Starts no server."""

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import psycopg
from psycopg import sql

from billing_pipeline.errors import StorageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

APPLICATION_NAME = "billing_pipeline"
_SCHEME = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://")
# Greedy up to the last @: a password with a raw @ or / in it is malformed, and must not show for all that.
_USERINFO = re.compile(r"^([a-z+0-9]+://[^:/?@]*):.*@", re.DOTALL)
_PASSWORD_PARAMETER = re.compile(r"([?&](?:ssl)?password=)[^&]*")

# A writer whose machine vanished must not hold its operator for ever (idle, connection check), a reader must not wait
# behind a migration for ever (lock), and no statement of ours takes an hour: COPY runs at 100 000 rows/s and more.
SESSION_SETTINGS = {
    "statement_timeout": "1h",
    "lock_timeout": "60s",
    "idle_in_transaction_session_timeout": "30min",
    "client_connection_check_interval": "10s",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
}


def libpq_url(url: str) -> str:
    """`url` as plain libpq takes it: `postgresql://…` whatever driver the scheme named. ValueError on another scheme."""
    if not _SCHEME.match(url):
        raise ValueError("is not a PostgreSQL URL; write postgresql://user:password@host:5432/database")
    return _SCHEME.sub("postgresql://", url)


def sqlalchemy_url(url: str) -> str:
    """For our tables: psycopg 3, named explicitly since SQLAlchemy's default driver changed between 2.0 and 2.1."""
    return libpq_url(url).replace("postgresql://", "postgresql+psycopg://", 1)


def dagster_url(url: str) -> str:
    """For Dagster's storage: psycopg2, the only driver its NOTIFY listener works with."""
    return libpq_url(url).replace("postgresql://", "postgresql+psycopg2://", 1)


def with_database(url: str, database: str) -> str:
    """The same server and parameters, another database."""
    server, _, parameters = libpq_url(url).partition("?")
    server = re.sub(r"^(postgresql://[^/]*).*", r"\1", server)
    return f"{server}/{quote(database)}" + (f"?{parameters}" if parameters else "")


def without_password(url: str) -> str:
    """`url` fit for a message: the password is gone wherever libpq takes one, also from a malformed URL."""
    return _PASSWORD_PARAMETER.sub(r"\1…", _USERINFO.sub(r"\1@", url))


def connect(url: str, *, autocommit: bool = False, application_name: str = APPLICATION_NAME) -> psycopg.Connection:
    """An open connection with our session limits. StorageError names the server and the remedy, never a password."""
    try:
        connection = psycopg.connect(
            libpq_url(url),
            autocommit=True,
            application_name=application_name,
            connect_timeout=int(os.environ.get("PGCONNECT_TIMEOUT", "10")),
            keepalives_idle=30,
            client_encoding="UTF8",
        )
        query = sql.SQL(", ").join(
            sql.SQL("set_config({}, {}, false)").format(name, value) for name, value in SESSION_SETTINGS.items()
        )
        connection.execute(sql.SQL("SELECT ") + query)
        connection.autocommit = autocommit
    except ValueError as error:
        raise StorageError(f"The database URL {error}") from None
    except psycopg.Error as error:
        raise StorageError(explain_connection_error(url, error)) from None
    return connection


def engine(url: str, *, application_name: str = APPLICATION_NAME) -> "Engine":
    """A SQLAlchemy engine whose connections are made by `connect`, so that both ways have the same limits."""
    import sqlalchemy

    return sqlalchemy.create_engine(
        sqlalchemy_url(url), creator=lambda: connect(url, application_name=application_name), pool_pre_ping=True
    )


_REMEDIES = (
    ("connection refused", "nothing listens there; start the server, or correct the URL"),
    ("no such file or directory", "nothing listens there; start the server, or correct the URL"),
    ("password authentication failed", "correct the user or the password in the URL"),
    ("no password supplied", "add the password to the URL"),
    ("authentication failed", "correct the user in the URL"),
    ("no pg_hba.conf entry", "let this host and user in, in the server's pg_hba.conf"),
    ("resolve", "correct the host name in the URL"),
    ("name or service not known", "correct the host name in the URL"),
    ("timeout", "the host does not answer; check the address and the firewall"),
    ("too many", "wait until other programs have closed theirs, or raise max_connections"),
    ("starting up", "wait a moment and run again"),
    ("shutting down", "start the server again"),
)


# Where what a message is known by is no sentence.
_SAID = {"resolve": "its name is not known", "too many": "too many connections", "timeout": "no answer in time"}


def explain_connection_error(url: str, error: Exception) -> str:
    """One line: which server, what it said, what to do. libpq quotes pieces of a malformed URL, so those stay out."""
    server = server_name(url)
    said = " ".join(str(error).split())
    lowered = said.casefold()
    if isinstance(error, psycopg.ProgrammingError):
        return f"The database URL for {server} cannot be read: percent-encode special characters in user and password"
    if "database" in lowered and "does not exist" in lowered:
        database = _database(url)
        return f"PostgreSQL at {server}: database {database!r} does not exist; create it: CREATE DATABASE {database}"
    if role := re.search(r'role "([^"]*)" does not exist', said):
        return f"PostgreSQL at {server}: user {role[1]!r} does not exist; create it, or correct the user in the URL"
    for sign, remedy in _REMEDIES:
        if sign in lowered:
            return f"PostgreSQL at {server}: {_SAID.get(sign, sign)}; {remedy}"
    if _quotes_a_secret(said, url):
        return f"PostgreSQL at {server} cannot be reached; check user, password and host in the URL"
    return f"PostgreSQL at {server}: {said[-300:]}"


def explain_engine_error(url: str, error: BaseException | None) -> str | None:
    """The same for an error of SQLAlchemy's, whose own words hold the whole statement with its values; null for any
    other error."""
    import sqlalchemy

    if not isinstance(error, sqlalchemy.exc.DBAPIError) or not isinstance(error.orig, Exception):
        return None
    primary = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    return f"PostgreSQL at {server_name(url)}: {primary}" if primary else explain_connection_error(url, error.orig)


def _quotes_a_secret(said: str, url: str) -> bool:
    match = re.match(r"^[a-z+0-9]+://[^:/?@]*:(.*)@", url, re.DOTALL)
    secrets = re.split(r"[@:/?#]", match[1]) if match else []
    secrets += re.findall(r"[?&](?:ssl)?password=([^&]*)", url)
    return any(len(secret) > 2 and (secret in said or unquote(secret) in said) for secret in secrets)


def server_name(url: str) -> str:
    """host:port/database, or the socket's folder and database."""
    parts = urlsplit(without_password(url))
    socket = re.search(r"(?:^|&)host=([^&]*)", parts.query)
    host = parts.netloc.rpartition("@")[2] or (unquote(socket[1]) if socket else "localhost")
    port = "" if ":" in host or "/" in host else ":5432"
    return f"{host}{port}/{_database(url)}"


def _database(url: str) -> str:
    parts = urlsplit(without_password(url))
    return unquote(parts.path.lstrip("/")) or parts.netloc.rpartition("@")[0] or "postgres"
