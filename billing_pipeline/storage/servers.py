"""Which server holds our tables and which one Dagster's: from the environment, else the embedded one. Creates databases,
not their schema (migrate.py)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from billing_pipeline.config import BillingConfig
from billing_pipeline.errors import ConfigurationError, StorageError
from billing_pipeline.storage import embedded
from billing_pipeline.storage.connections import connect, libpq_url, server_name, with_database, without_password

BILLING_DATABASE = "billing"
DAGSTER_DATABASE = "dagster"


@dataclass(frozen=True, slots=True)
class Databases:
    """libpq URLs, passwords included: of our tables (`billing`) and of Dagster's storage (`dagster`)."""

    billing: str = field(repr=False)
    dagster: str = field(repr=False)
    embedded: bool

    def __str__(self) -> str:
        kind = "embedded" if self.embedded else "configured"
        return f"{kind}: {without_password(self.billing)}, {without_password(self.dagster)}"


def connect_databases(config: BillingConfig, environ: Mapping[str, str] = os.environ) -> Databases:
    """Both databases, reachable: the embedded server is started where no URL is set, missing databases are created.

    A configured billing database must exist already. ConfigurationError for a value that is no PostgreSQL URL (it names
    the variable, not the value), StorageError for a server or database that cannot be reached.
    """
    storage = config.storage
    dagster = _url_in(environ, storage.dagster_postgres_url_env)
    billing, is_embedded = connect_billing(config, environ)
    if dagster is None:
        dagster = with_database(billing, DAGSTER_DATABASE)
        maintenance = with_database(billing, "postgres") if is_embedded else billing
        create_database(maintenance, DAGSTER_DATABASE, unless_set=storage.dagster_postgres_url_env)
    else:
        connect(dagster).close()
    return Databases(billing, dagster, is_embedded)


def connect_billing(config: BillingConfig, environ: Mapping[str, str] = os.environ) -> tuple[str, bool]:
    """The libpq URL of our tables' database alone, reachable, and whether the server is the embedded one.

    For who only reads results: Dagster's database is neither looked for nor created. Errors as `connect_databases`.
    """
    billing = _url_in(environ, config.storage.postgres_url_env)
    if billing is not None:
        connect(billing).close()
        return billing, False
    billing = embedded.start(config.storage.data_dir).url_for(BILLING_DATABASE)
    create_database(with_database(billing, "postgres"), BILLING_DATABASE)
    return billing, True


def _url_in(environ: Mapping[str, str], name: str) -> str | None:
    value = environ.get(name, "").strip()
    if not value:
        return None
    try:
        return libpq_url(value)
    except ValueError as error:
        raise ConfigurationError(f"{name}: {error}") from None


def create_database(url: str, name: str, *, unless_set: str | None = None) -> None:
    """Database `name` on the server of `url`, unless it is there; two creators at once both succeed."""
    with connect(url, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            return
        try:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return
        except psycopg.Error as error:
            otherwise = f", or set {unless_set}" if unless_set else ""
            said = error.diag.message_primary or type(error).__name__
            raise StorageError(
                f"PostgreSQL at {server_name(url)}: database {name} cannot be created ({said}); create it{otherwise}"
            ) from None
