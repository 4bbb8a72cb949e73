"""compose.yaml does what it says: its own commands, run here as processes, execute a month that its webserver launches."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from billing_pipeline_tests.deployment.containers import PASSWORD, SERVICES, Containers
from billing_pipeline_tests.deployment.webserver import Webserver
from billing_pipeline_tests.pipeline.places import folder_for_a_server
from billing_pipeline_tests.pipeline.rive import FILES, charge_file, write_configuration
from billing_pipeline_tests.pipeline.tcp_server import TcpServer

pytestmark = pytest.mark.timeout(600)
STAYING = ("code", "webserver", "webserver-read-only", "daemon")


@pytest.fixture(scope="module")
def server() -> Iterator[TcpServer]:
    # The image's POSTGRES_USER is a superuser and owns POSTGRES_DB.
    with TcpServer.running("billing", "SUPERUSER", PASSWORD) as running:
        running.create("billing", "billing")
        yield running


@pytest.fixture(scope="module")
def containers(server: TcpServer) -> Iterator[Containers]:
    with folder_for_a_server() as folder:
        made = Containers(folder, server)
        write_configuration(folder / "config", data=folder / "data")
        (folder / "config/inbox/rive/R189_RIVE_202401.csv").write_text(charge_file(FILES["2024-01"]), encoding="utf-8")
        try:
            yield made
        finally:
            made.stop_all()


@pytest.fixture(scope="module")
def migrated(containers: Containers) -> "subprocess.CompletedProcess[str]":
    containers.wait_healthy("postgres")
    return containers.run("migrate")


@pytest.fixture(scope="module")
def writable(up: Containers) -> Iterator[Webserver]:
    with Webserver(up.url("webserver")) as webserver:
        yield webserver


@pytest.fixture(scope="module")
def up(containers: Containers, migrated: "subprocess.CompletedProcess[str]") -> Containers:
    """Everything started in the order `depends_on` asks for."""
    assert migrated.returncode == 0, migrated.stderr
    containers.start("code")
    containers.wait_healthy("code")
    for name in STAYING[1:]:
        containers.start(name)
    containers.wait_healthy("webserver")
    containers.wait_healthy("webserver-read-only")
    return containers


def test_every_service_that_stays_is_started_here() -> None:
    assert {*STAYING, "postgres", "migrate"} == set(SERVICES)


def test_the_migration_makes_our_schema_and_dagsters_database(
    containers: Containers, migrated: "subprocess.CompletedProcess[str]"
) -> None:
    assert (migrated.returncode, migrated.stderr) == (0, "")
    with psycopg.connect(containers.database("billing")) as connection:
        assert connection.execute("SELECT count(*) FROM billing.reconciliation_summary").fetchone() == (0,)
    with psycopg.connect(containers.database("dagster")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_health_check_tells_a_service_that_is_not_there(server: TcpServer, tmp_path: Path) -> None:
    """A check that always passes would let compose start the rest too early."""
    nothing = Containers(tmp_path, server)
    for name in ("code", "webserver", "webserver-read-only"):
        assert nothing.check_health(name).returncode != 0, name


def test_a_month_launched_in_the_webserver_is_executed_and_stored(up: Containers, writable: Webserver) -> None:
    assert writable.location() == ("billing_pipeline", None)
    run_id = writable.launch("RIVE", "2024-01")
    assert writable.wait(run_id) == "SUCCESS", up.said("code") + up.said("daemon")
    with psycopg.connect(up.database("billing")) as connection:
        row = connection.execute(
            "SELECT operator_code, period, state, matched, unmatched FROM billing.reconciliation_summary"
        ).fetchall()
    assert row == [("RIVE", "2024-01", "EVALUATED", 3, 0)]
    assert (up.folder / "data" / "parquet" / "reconciliation_items").is_dir()
    assert not (up.folder / "data" / "postgres").exists(), "an embedded server was started beside the real one"


def test_the_read_only_webserver_shows_runs_and_refuses_to_start_one(up: Containers) -> None:
    with Webserver(up.url("webserver-read-only")) as reader:
        assert reader.location() == ("billing_pipeline", None)
        assert reader.try_to_launch("RIVE", "2024-01")["__typename"] == "UnauthorizedError"


def test_no_service_prints_the_password(up: Containers) -> None:
    for name in STAYING:
        assert PASSWORD not in (up.folder / f"{name}.log").read_text(errors="replace"), name


def test_stopping_leaves_no_process_behind(up: Containers) -> None:
    """The last: `docker compose down` waits 10 s before it kills."""
    trees = [process for name in STAYING for process in up._tree(name)]
    assert len(trees) >= len(STAYING)
    up.stop_all()
    assert [process for process in trees if _runs(process)] == []


def _runs(process: psutil.Process) -> bool:
    """One that has ended and whose parent has too may wait long for the machine's first process to take note."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
