"""PostgreSQL that somebody else runs: over TCP, with a password, as a role that is no superuser."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.pipeline.program import Ended, Program
from billing_pipeline_tests.pipeline.rive import deliver, write_inputs
from billing_pipeline_tests.pipeline.tcp_server import TcpServer

PASSWORD = "p%40ss-canary-77"  # as it stands in the URL; the role's is p@ss-canary-77


class External:
    """A server with a role `loader` that is no superuser and owns its databases."""

    def __init__(self, server: TcpServer) -> None:
        self._server = server
        self.port, self.admin = server.port, server.admin

    def url(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql://loader:{password}@127.0.0.1:{self.port}/{database}"

    def create(self, *databases: str) -> None:
        self._server.create("loader", *databases)


@pytest.fixture(scope="module")
def external() -> Iterator[External]:
    with TcpServer.running("loader", "CREATEROLE CREATEDB", "p@ss-canary-77") as server:
        yield External(server)


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
