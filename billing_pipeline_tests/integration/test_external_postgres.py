"""PostgreSQL that somebody else runs: over TCP, with a password, as a role that is no superuser."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from billing_pipeline.storage import embedded
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.places import Place, folder_for_a_server
from billing_pipeline_tests.pipeline.program import Ended, Program
from billing_pipeline_tests.pipeline.rive import deliver, write_inputs

PASSWORD = "p%40ss-canary-77"  # as it stands in the URL; the role's is p@ss-canary-77


@dataclass
class External:
    """A server on a TCP port that asks for passwords, with a role `loader` that owns its database."""

    port: int
    admin: str

    def url(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql://loader:{password}@127.0.0.1:{self.port}/{database}"

    def create(self, *databases: str) -> None:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            for name in databases:
                connection.execute(f"CREATE DATABASE {name} OWNER loader".encode())


@pytest.fixture(scope="module")
def external() -> Iterator[External]:
    with folder_for_a_server() as folder:
        running = embedded.start(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        admin = running.url_for("postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            for statement in (
                "ALTER SYSTEM SET listen_addresses = '127.0.0.1'",
                f"ALTER SYSTEM SET port = {port}",
                "CREATE ROLE loader LOGIN CREATEROLE CREATEDB PASSWORD 'p@ss-canary-77'",
            ):
                connection.execute(statement.encode())
        embedded.stop(folder)
        cluster = folder / "postgres" / "cluster"
        rules = (cluster / "pg_hba.conf").read_text()
        (cluster / "pg_hba.conf").write_text(f"host all all 127.0.0.1/32 scram-sha-256\n{rules}")
        _pg_ctl(folder, "start", "-o", f"-c unix_socket_directories={cluster}")
        try:
            yield External(port, f"postgresql://postgres@/postgres?host={cluster}&port={port}")
        finally:
            _pg_ctl(folder, "stop", "-m", "fast")


def _pg_ctl(folder: Path, *arguments: str) -> None:
    """As the server's own user where we are root, as an administrator does."""
    cluster = folder / "postgres" / "cluster"
    command = [
        str(embedded._binaries() / "pg_ctl"),
        "-D",
        str(cluster),
        "-w",
        "-l",
        str(cluster / "log.txt"),
        *arguments,
    ]
    account = {"user": cluster.owner(), "group": cluster.group(), "extra_groups": []} if os.geteuid() == 0 else {}
    subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, **account)


@pytest.fixture
def folder(tmp_path: Path, new_place: Callable[[], Place]) -> Path:
    """A configuration with January delivered."""
    place = new_place()
    write_inputs(place)
    deliver(place, "2024-01")
    return place.folder


def _run(program: Program, folder: Path, **environment: str) -> Ended:
    return program.start("run", "--period", "2024-01", folder=folder, extra=environment).wait()


def _databases(external: External) -> set[str]:
    with psycopg.connect(external.admin) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database").fetchall()}


def _count(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_tables_land_on_the_server_of_the_url_and_dagsters_database_beside_them(
    external: External, program: Program, folder: Path
) -> None:
    external.create("ours")
    ended = _run(program, folder, BILLING_POSTGRES_URL=external.url("ours"))
    assert ended.code == 0, ended.err
    stored = tables.stored(external.url("ours"))
    assert len(stored["invoice_lines"]) == 3
    assert {row["state"] for row in stored["reconciliation_summary"]} == {"EVALUATED"}
    assert tables.unlike_in_parquet(folder, stored) == {}
    assert "dagster" in _databases(external)
    assert _count(external.url("dagster"), "runs") >= 2
    assert not (folder / "data" / "postgres").exists(), "no embedded server was started"
    with psycopg.connect(external.url("ours")) as connection:
        (allowed,) = connection.execute(
            "SELECT has_table_privilege('billing_analyst', 'billing.invoices', 'SELECT')"
            " AND NOT has_table_privilege('billing_analyst', 'billing.invoices', 'INSERT, UPDATE, DELETE')"
        ).fetchone() or (None,)
    assert allowed is True


def test_dagsters_database_may_be_another(external: External, program: Program, folder: Path) -> None:
    external.create("ours_too", "orchestration")
    ended = _run(
        program, folder,
        BILLING_POSTGRES_URL=external.url("ours_too"), BILLING_DAGSTER_POSTGRES_URL=external.url("orchestration"),
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert len(tables.stored(external.url("ours_too"))["invoice_lines"]) == 3
    assert _count(external.url("orchestration"), "runs") >= 2


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (lambda external: external.url("ours", "wrong-canary-77"), "correct the user or the password"),
        (lambda external: external.url("nowhere"), "create it"),
        (lambda external: external.url("ours").replace("loader", "nobody"), "correct the user or the password"),
    ],
    ids=["wrong password", "no such database", "no such user"],
)
def test_a_server_that_refuses_us_is_told_in_one_line_without_the_password(
    external: External, program: Program, folder: Path, url: Callable[[External], str], told: str
) -> None:
    ended = _run(program, folder, BILLING_POSTGRES_URL=url(external))
    assert ended.code == 1, ended.out
    (line,) = ended.errors
    assert told in line
    assert f"127.0.0.1:{external.port}" in line
    assert "canary-77" not in ended.out + ended.err


def test_the_url_with_its_password_is_shown_by_the_one_command_that_is_asked_for_it(
    external: External, program: Program, folder: Path
) -> None:
    url = external.url("postgres")
    ended = program.start("db", "url", folder=folder, extra={"BILLING_POSTGRES_URL": url}).wait()
    assert ended.code == 0, ended.err
    assert ended.out.strip() == url
