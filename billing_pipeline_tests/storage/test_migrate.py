"""The database the migrations make: the registry's, made once, readable by analysts and changed by nobody else."""

import logging
import re
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql

from billing_pipeline.errors import StorageError
from billing_pipeline.schemas.sql import REBILLING_SCHEMA, SCHEMA, VIEWS, metadata, rebilling_metadata
from billing_pipeline.storage.connections import connect, engine
from billing_pipeline.storage.embedded import EmbeddedServer
from billing_pipeline.storage.migrate import MIGRATIONS, head, upgrade
from billing_pipeline.storage.servers import create_database


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config)


REVISIONS = [*[one.revision for one in scripts().walk_revisions()][::-1], "rebilling 0001"]


def described(url: str, schema: str = SCHEMA) -> dict[str, list[tuple[object, ...]]]:
    """Everything that can drift, as the catalogue words it: columns, constraints, indexes, comments, views."""
    queries = {
        "columns": "SELECT table_name, ordinal_position, column_name, udt_name, numeric_precision, numeric_scale,"
        " character_maximum_length, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_schema = 'billing' AND table_name <> 'alembic_version' ORDER BY 1, 2",
        "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'billing'::regnamespace AND conname NOT LIKE 'alembic%%' ORDER BY 1, 2",
        "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'billing'"
        " AND tablename <> 'alembic_version' ORDER BY 1",
        "comments": "SELECT objoid::regclass::text, objsubid, description FROM pg_description AS d JOIN pg_class AS c"
        " ON c.oid = d.objoid WHERE c.relnamespace = 'billing'::regnamespace ORDER BY 1, 2",
        "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'billing' ORDER BY 1",
    }
    with connect(url) as connection:
        return {
            name: connection.execute(query.replace("'billing'", f"'{schema}'")).fetchall()  # type: ignore[arg-type]
            for name, query in queries.items()
        }


def test_schema_rebilling_is_made_as_the_registry_says_and_by_its_own_history(server: EmbeddedServer, url: str) -> None:
    create_database(server.url_for("postgres"), "rebilling_from_registry")
    from_registry = server.url_for("rebilling_from_registry")
    made = engine(from_registry)
    with made.begin() as connection:
        connection.execute(sa.schema.CreateSchema(REBILLING_SCHEMA))
        rebilling_metadata.create_all(connection)
    made.dispose()
    migrated, registry = described(url, REBILLING_SCHEMA), described(from_registry, REBILLING_SCHEMA)
    assert registry["columns"]
    assert migrated == registry
    with connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA billing CASCADE")
        connection.execute("CREATE TABLE rebilling.mark ()")
    assert upgrade(url) == REVISIONS[:-1]
    with connect(url) as connection:
        assert connection.execute("SELECT to_regclass('rebilling.mark')").fetchone() != (None,)


def test_analysts_may_read_what_customers_were_invoiced_and_change_nothing(url: str) -> None:
    with connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier("billing_analyst")))
        assert connection.execute("SELECT count(*) FROM rebilling.customer_invoices").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM rebilling.customer_invoices")


def test_the_migrations_make_exactly_what_the_registry_says(server: EmbeddedServer, url: str, empty_url: str) -> None:
    create_database(server.url_for("postgres"), "from_registry")
    from_registry = server.url_for("from_registry")
    made = engine(from_registry)
    with made.begin() as connection:
        connection.execute(sa.schema.CreateSchema(SCHEMA))
        metadata.create_all(connection)
        for name, (query, comment) in VIEWS.items():
            connection.execute(sa.text(f"CREATE VIEW {SCHEMA}.{name} AS {query}"))
            connection.execute(sa.text(f"COMMENT ON VIEW {SCHEMA}.{name} IS '{comment}'"))
    made.dispose()
    migrated, registry = described(url), described(from_registry)
    for part in registry:
        assert migrated[part] == registry[part]


def test_alembic_finds_nothing_to_do(url: str) -> None:
    made = engine(url)
    with made.connect() as connection:
        options = {"include_schemas": True, "version_table_schema": SCHEMA, "compare_type": True}
        options["include_name"] = lambda name, kind, _: kind != "schema" or name == SCHEMA
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    made.dispose()


def test_revisions_are_numbered_and_the_newest_is_the_head() -> None:
    assert scripts().get_heads() == [head()]


def test_a_second_upgrade_does_nothing_and_is_quick(empty_url: str) -> None:
    assert upgrade(empty_url) == REVISIONS
    start = time.monotonic()
    assert upgrade(empty_url) == []
    assert time.monotonic() - start < 0.3


def test_two_upgrades_at_once_apply_each_revision_once(empty_url: str) -> None:
    start, applied = threading.Barrier(4), []

    def run() -> None:
        start.wait()
        applied.append(upgrade(empty_url))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The two schemas have a history and a lock each: two processes may have done one of them.
    assert sorted(revision for done in applied for revision in done) == sorted(REVISIONS)


def test_a_downgrade_leaves_an_empty_schema(url: str) -> None:
    from alembic import command

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    made = engine(url)
    with made.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        left = sa.inspect(connection).get_table_names(schema=SCHEMA)
    made.dispose()
    assert left == ["alembic_version"]


def test_a_database_of_a_newer_program_is_not_touched(url: str) -> None:
    with connect(url, autocommit=True) as connection:
        connection.execute("UPDATE billing.alembic_version SET version_num = '9999'")
    with pytest.raises(StorageError, match="install the newer"):
        upgrade(url)


@pytest.fixture
def analyst(server: EmbeddedServer, url: str) -> Iterator[str]:
    """A login role that is a member of billing_analyst, and nothing else."""
    with connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS an_analyst")
        connection.execute("CREATE ROLE an_analyst LOGIN IN ROLE billing_analyst")
    yield url.replace("postgres@", "an_analyst@", 1)
    with connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE an_analyst")


def test_an_analyst_reads_everything_also_what_is_made_later(url: str, analyst: str) -> None:
    with connect(url, autocommit=True) as owner:
        owner.execute("CREATE TABLE billing.later (x int)")
        owner.execute("CREATE VIEW billing.later_view AS SELECT * FROM billing.later")
    with connect(analyst, autocommit=True) as connection:
        relations = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'billing'::regnamespace AND relkind IN ('r', 'v')"
        ).fetchall()
        assert {("later",), ("later_view",), ("invoices_with_status",), ("invoices",)} <= set(relations)
        for (name,) in relations:
            connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(SCHEMA, name)))


CHANGES = [
    "INSERT INTO billing.reconciliation_reasons VALUES ('ORANGE', '2024-03', 'i', 'r', 1, '', '', now())",
    "UPDATE billing.invoices SET total_ht = 0",
    "DELETE FROM billing.invoices",
    "TRUNCATE billing.invoices",
    "DROP TABLE billing.invoices",
    "CREATE TABLE billing.mine (x int)",
    "CREATE TABLE public.mine (x int)",
    "CREATE SCHEMA mine",
    "ALTER TABLE billing.invoices ADD COLUMN x int",
    "CREATE INDEX ON billing.invoices (total_ht)",
    "UPDATE billing.partition_loads SET state = 'x'",
    "SELECT * FROM billing.invoices FOR UPDATE",
    "CREATE TEMP TABLE mine (x int)",
    "CREATE TEMP VIEW mine AS SELECT 1",
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("entry", ["login", "set role"])
def test_an_analyst_changes_nothing(url: str, analyst: str, change: str, entry: str) -> None:
    with connect(analyst if entry == "login" else url, autocommit=True) as connection:
        if entry == "set role":
            connection.execute("SET ROLE billing_analyst")
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(change)  # type: ignore[arg-type]


@pytest.fixture
def plain_owner(server: EmbeddedServer, empty_url: str) -> Iterator[str]:
    """The database's owner, who may create schemas but no roles."""
    database = empty_url.split("?")[0].rpartition("/")[2]
    with connect(empty_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS plain_owner")
        connection.execute("CREATE ROLE plain_owner LOGIN")
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO plain_owner").format(sql.Identifier(database)))
    yield empty_url.replace("postgres@", "plain_owner@", 1)
    with connect(empty_url, autocommit=True) as connection:
        connection.execute("REASSIGN OWNED BY plain_owner TO postgres")
        connection.execute("DROP OWNED BY plain_owner")
        connection.execute("DROP ROLE plain_owner")


def without_analyst(server: EmbeddedServer) -> None:
    """Drop the role, which belongs to the whole server, from every database of this session."""
    with connect(server.url_for("postgres"), autocommit=True) as connection:
        databases = connection.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall()
        exists = connection.execute("SELECT FROM pg_roles WHERE rolname = 'billing_analyst'").fetchone()
    if exists is None:
        return
    for (name,) in databases:
        with connect(server.url_for(name), autocommit=True) as connection:
            connection.execute("DROP OWNED BY billing_analyst")
    with connect(server.url_for("postgres"), autocommit=True) as connection:
        connection.execute("DROP ROLE billing_analyst")


def test_an_owner_who_may_not_create_roles_is_told_once_and_goes_on(
    server: EmbeddedServer, plain_owner: str, caplog: pytest.LogCaptureFixture
) -> None:
    without_analyst(server)
    with caplog.at_level(logging.WARNING):
        assert upgrade(plain_owner) != []
        assert upgrade(plain_owner) == []
    assert [record.getMessage().count("CREATE ROLE billing_analyst NOLOGIN") for record in caplog.records] == [1]
    with connect(server.url_for("postgres"), autocommit=True) as administrator:
        administrator.execute("CREATE ROLE billing_analyst NOLOGIN")
    # The next upgrade grants what was missing.
    assert upgrade(plain_owner) == []
    with connect(plain_owner) as connection:
        row = connection.execute(
            "SELECT has_table_privilege('billing_analyst', 'billing.invoices', 'SELECT')"
        ).fetchone()
    assert row == (True,)


def test_a_role_that_may_not_create_the_schema_is_told_what_it_lacks(server: EmbeddedServer, empty_url: str) -> None:
    with connect(empty_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS nobody_special")
        connection.execute("CREATE ROLE nobody_special LOGIN")
    with pytest.raises(StorageError, match=r"permission denied .*GRANT CREATE ON DATABASE"):
        upgrade(empty_url.replace("postgres@", "nobody_special@", 1))
    with connect(empty_url, autocommit=True) as connection:
        connection.execute("DROP ROLE nobody_special")


def test_temporary_tables_are_the_owners_alone_and_anothers_database_is_left_as_it_is(
    server: EmbeddedServer, plain_owner: str
) -> None:
    may = "SELECT has_database_privilege(current_user, current_database(), 'TEMP')"
    upgrade(plain_owner)
    with connect(plain_owner) as connection:
        assert connection.execute(may).fetchone() == (True,)
        connection.execute("CREATE TEMP TABLE ours (x int)")
    with connect(server.url_for("postgres"), autocommit=True) as administrator:
        administrator.execute("DROP ROLE IF EXISTS a_guest")
        administrator.execute("CREATE ROLE a_guest LOGIN")
        # Back to how PostgreSQL makes a database, and owned by somebody else.
        database = plain_owner.split("?")[0].rpartition("/")[2]
        administrator.execute(sql.SQL("GRANT TEMPORARY ON DATABASE {} TO PUBLIC").format(sql.Identifier(database)))
        administrator.execute(sql.SQL("ALTER DATABASE {} OWNER TO postgres").format(sql.Identifier(database)))
    upgrade(plain_owner)
    with connect(plain_owner.replace("plain_owner@", "a_guest@", 1)) as connection:
        assert connection.execute(may).fetchone() == (True,)
    with connect(server.url_for("postgres"), autocommit=True) as administrator:
        administrator.execute("DROP ROLE a_guest")


def migrated(url: str, revision: str) -> None:
    """Down to an earlier revision of schema billing."""
    from alembic import command

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    made = engine(url)
    with made.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    made.dispose()


SHARE = "INSERT INTO billing.line_allocations VALUES ('ORANGE', %s, 'i', %s, %s, 1, 1, 'EUR', null, null, '', now())"


def test_rows_loaded_before_the_cheaper_month_checks_stay_and_no_month_is_less_looked_at(url: str) -> None:
    migrated(url, "0003")
    with connect(url, autocommit=True) as connection:
        connection.execute(SHARE, ("2024-03", "old", "2024-02"))
    assert upgrade(url) == ["0004"]
    with connect(url, autocommit=True) as connection:
        connection.execute(SHARE, ("2024-03", "new", "2024-03"))
        for period, month in (("2024-13", "2024-13"), ("2024-03", "2024-00"), ("2O24-03", "2O24-03")):
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.execute(SHARE, (period, "odd", month))
        lines = connection.execute("SELECT line_id FROM billing.line_allocations ORDER BY 1").fetchall()
    assert lines == [("new",), ("old",)]


@pytest.mark.parametrize(("table", "other"), [("invoice_lines", "charge_month"), ("line_allocations", "service_month")])
def test_the_cheaper_check_accepts_exactly_the_months(url: str, table: str, other: str) -> None:
    odd = " -0123456789a:/\nOé"
    texts = {f"{year}-{month:02d}" for year in ("0000", "1999", "2024", "9999") for month in range(100)}
    for month in ("2024-03", "2024-10", "0000-12"):
        texts |= {month[:at] + one + month[at + 1 :] for at in range(7) for one in odd}
        texts |= {month[:at] + one + two + month[at + 2 :] for at in range(6) for one in odd for two in odd}
    expected = {text for text in texts if re.fullmatch("[0-9]{4}-(0[1-9]|1[0-2])", text)}
    condition = (
        "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conname = %s AND connamespace = %s::regnamespace"
    )
    with connect(url) as connection:
        for column in ("period", other):
            row = connection.execute(condition, (f"{table}_{column}_is_a_month", SCHEMA)).fetchone()
            assert row is not None
            # The other month may be taken for one because the period is the same: here the period is another one.
            rows = f"(SELECT one::char(7) AS {column}{', null::char(7) AS period' * (column != 'period')}"
            query = (
                f"SELECT one FROM unnest(%s::text[]) AS one, LATERAL {rows}) AS row WHERE {row[0].replace('%', '%%')}"
            )
            accepted = connection.execute(query, (sorted(texts),)).fetchall()  # type: ignore[arg-type]
            assert {text for (text,) in accepted} == expected
