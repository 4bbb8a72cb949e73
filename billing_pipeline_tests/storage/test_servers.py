"""Which databases are used, and what is said when one cannot be reached: the server and the remedy, no password."""

import socket
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from billing_pipeline.config import BillingConfig
from billing_pipeline.errors import ConfigurationError, StorageError
from billing_pipeline.storage import embedded
from billing_pipeline.storage.connections import (
    connect,
    dagster_url,
    engine,
    server_name,
    sqlalchemy_url,
    with_database,
    without_password,
)
from billing_pipeline.storage.embedded import EmbeddedServer
from billing_pipeline.storage.servers import connect_databases, create_database

SECRET = "s3cr3t"


def config(data_dir: Path) -> BillingConfig:
    return BillingConfig.model_validate(
        {
            "path": data_dir / "billing.yaml",
            "version": 1,
            "first_period": "2024-01",
            "storage": {"data_dir": data_dir},
            "services": {"inventory": data_dir / "services.csv"},
            "operators": [{"code": "AXIONE", "name": "Axione", "source": {"type": "r189_files", "folder": data_dir}}],
        }
    )


def database_of(url: str) -> str:
    with connect(url) as connection:
        row = connection.execute("SELECT current_database()").fetchone()
    assert row is not None
    return str(row[0])


def test_without_any_url_both_databases_are_embedded(data_dir: Path) -> None:
    try:
        for _ in range(2):
            databases = connect_databases(config(data_dir), {"BILLING_POSTGRES_URL": "  "})
            assert databases.embedded
            assert (database_of(databases.billing), database_of(databases.dagster)) == ("billing", "dagster")
        with connect(databases.billing) as connection:
            order = connection.execute(
                "SELECT string_agg(x, '' ORDER BY x) FROM unnest('{é,a,Z,b}'::text[]) x"
            ).fetchone()
        # By code point, like Python and Arrow, and not by this machine's locale.
        assert order == ("Zabé",)
    finally:
        embedded.stop(data_dir)


def test_dagster_gets_its_own_database_beside_a_configured_one(
    server: EmbeddedServer, url: str, tmp_path: Path
) -> None:
    databases = connect_databases(config(tmp_path), {"BILLING_POSTGRES_URL": url})
    assert (databases.billing, databases.embedded) == (url, False)
    assert database_of(databases.dagster) == "dagster"
    assert not (tmp_path / "postgres").exists()


def test_a_database_created_by_two_at_once_is_no_error(server: EmbeddedServer) -> None:
    start, failures = threading.Barrier(6), []

    def create() -> None:
        start.wait()
        try:
            create_database(server.url_for("postgres"), "raced")
        except StorageError as error:
            failures.append(error)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_role_that_may_not_create_dagsters_database_is_told_what_to_set(server: EmbeddedServer, url: str) -> None:
    with connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS modest")
        connection.execute("CREATE ROLE modest LOGIN")
    with pytest.raises(StorageError, match="create it, or set BILLING_DAGSTER_POSTGRES_URL"):
        create_database(url.replace("postgres@", "modest@"), "other", unless_set="BILLING_DAGSTER_POSTGRES_URL")
    with connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE modest")


def test_a_value_that_is_no_url_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="BILLING_POSTGRES_URL: is not a PostgreSQL URL") as raised:
        connect_databases(config(tmp_path), {"BILLING_POSTGRES_URL": f"mysql://u:{SECRET}@h/d"})
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://u:{SECRET}@h:5433/d?sslmode=require", "postgresql://u@h:5433/d?sslmode=require"),
        (f"postgresql+psycopg://u:{SECRET}@h/d", "postgresql+psycopg://u@h/d"),
        (f"postgres://u:{SECRET}@a:1,b:2/d", "postgres://u@a:1,b:2/d"),
        (f"postgresql://h/d?user=u&password={SECRET}&x=1", "postgresql://h/d?user=u&password=…&x=1"),
        (f"postgresql://h/d?sslpassword={SECRET}", "postgresql://h/d?sslpassword=…"),
        (f"postgresql://u:p@{SECRET}/w?{SECRET}#{SECRET}@h/d", "postgresql://u@h/d"),
        (f"postgresql://:{SECRET}@h/d", "postgresql://@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://postgres@/d?host=%2Ftmp", "postgresql://postgres@/d?host=%2Ftmp"),
    ],
)
def test_a_password_is_removed_wherever_it_stands(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert SECRET not in server_name(url)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"postgresql://u:{SECRET}@127.0.0.1:PORT/d", r"127\.0\.0\.1:PORT/d: connection refused; .*start the server"),
        (f"postgresql://u:{SECRET}@/d?host=/nowhere", r"/nowhere.*start the server"),
        (
            f"postgresql://u:{SECRET}@no-such-host.invalid/d",
            r"no-such-host.invalid:5432/d: its name is not known; correct the host name",
        ),
        (f"postgresql://u:{SECRET}@h@127.0.0.1:PORT/d", "PostgreSQL"),
        (f"postgresql://u:x/{SECRET}@127.0.0.1:PORT/d", "URL"),
        (f"postgresql://u:{SECRET}%@127.0.0.1:PORT/d", "percent-encode"),
    ],
)
def test_a_server_that_cannot_be_reached_is_named_with_the_remedy(url: str, message: str) -> None:
    port = str(unused_port())
    with pytest.raises(StorageError, match=message.replace("PORT", port)) as raised:
        connect(url.replace("PORT", port))
    assert SECRET not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_a_wrong_password_a_missing_database_and_a_missing_user_are_told_apart(data_dir: Path) -> None:
    server = embedded.start(data_dir)
    try:
        rules = data_dir / "postgres" / "cluster" / "pg_hba.conf"
        rules.write_text("local all guarded scram-sha-256\n" + rules.read_text())
        with connect(server.url_for("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE guarded LOGIN PASSWORD '{SECRET}'")
            connection.execute("SELECT pg_reload_conf()")
        right = server.url_for("postgres").replace("postgres@", f"guarded:{SECRET}@")
        connect(right).close()
        with pytest.raises(StorageError, match="correct the user or the password"):
            connect(right.replace(SECRET, "wr0ng"))
        with pytest.raises(
            StorageError, match="database 'absent' does not exist; create it: CREATE DATABASE absent"
        ) as e:
            connect(with_database(right, "absent"))
        assert SECRET not in str(e.value)
        with pytest.raises(StorageError, match="user 'stranger' does not exist; create it, or correct the user") as e:
            connect(right.replace("guarded", "stranger"))
        assert SECRET not in str(e.value)
    finally:
        embedded.stop(data_dir)


def test_every_connection_has_its_limits(url: str) -> None:
    expected = {
        "application_name": "billing_pipeline",
        "statement_timeout": "1h",
        "lock_timeout": "1min",
        "idle_in_transaction_session_timeout": "30min",
        "client_connection_check_interval": "10s",
        "TimeZone": "UTC",
    }
    made = engine(url)
    with connect(url) as ours, made.connect() as theirs:
        for name, value in expected.items():
            assert ours.execute("SELECT current_setting(%s)", (name,)).fetchone() == (value,)
            assert theirs.execute(sa.text("SELECT current_setting(:n)"), {"n": name}).scalar() == value
        # The settings outlast a rollback: they were made outside the transaction.
        ours.rollback()
        assert ours.execute("SHOW lock_timeout").fetchone() == ("1min",)
    made.dispose()


@pytest.mark.parametrize("driver", ["", "+psycopg", "+psycopg2"])
def test_each_driver_is_named_explicitly(url: str, driver: str) -> None:
    given = url.replace("postgresql://", f"postgresql{driver}://")
    for made, name in ((sqlalchemy_url(given), "psycopg"), (dagster_url(given), "psycopg2")):
        assert sa.make_url(made).drivername == f"postgresql+{name}"
        working = sa.create_engine(made)
        with working.connect() as connection:
            assert connection.execute(sa.text("SELECT 1")).scalar() == 1
        working.dispose()


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("postgresql://u:p%40@h:1/d?sslmode=require", "postgresql://u:p%40@h:1/x?sslmode=require"),
        ("postgresql:///d?host=/tmp", "postgresql:///x?host=/tmp"),
        ("postgresql://h", "postgresql://h/x"),
        ("postgres://u@/d?host=%2Ftmp", "postgresql://u@/x?host=%2Ftmp"),
    ],
)
def test_another_database_of_the_same_server(url: str, other: str) -> None:
    assert with_database(url, "x") == other
