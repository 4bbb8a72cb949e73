"""The services of compose.yaml on a PostgreSQL that may be killed, brought back to the same state for every test."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from billing_pipeline_tests.deployment.containers import PASSWORD, Containers
from billing_pipeline_tests.deployment.webserver import Webserver
from billing_pipeline_tests.faults.halting import FOLDER, Halt
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.conftest import new_place, program, server
from billing_pipeline_tests.pipeline.places import folder_for_a_server
from billing_pipeline_tests.pipeline.rive import FILES, Line, charge_file, write_configuration
from billing_pipeline_tests.pipeline.tcp_server import TcpServer

__all__ = ["Deployment", "deployment", "new_place", "program", "server"]
CORRECTED: list[Line] = [
    ("RI-1", "R1", "31.00", "2024-01"), ("RI-1", "R2", "40.00", "2024-01"), ("RI-W", "R3", "50.00", "2024-01"),
]  # fmt: skip
HALTING = {"billing_pipeline.definitions": "billing_pipeline_tests.faults.halting_definitions"}
PARTITION = ("RIVE", "2024-01")


class Deployment:
    """January is stored; then its file is corrected. `undisturbed` is what an undisturbed run then stores."""

    def __init__(self, folder: Path, postgres: TcpServer) -> None:
        self.folder = folder
        self.postgres = postgres
        self.containers = Containers(folder, postgres)
        self.halt = Halt(folder / "halt")
        self.undisturbed: tables.Stored = {}

    def prepare(self) -> None:
        write_configuration(self.folder / "config", data=self.folder / "data")
        self._deliver(FILES["2024-01"])
        assert self.containers.run("migrate").returncode == 0
        for name in ("code", "webserver", "daemon"):
            self.start(name)
        with self.webserver() as webserver:
            assert webserver.wait(webserver.launch(*PARTITION)) == "SUCCESS", self.containers.said("code")
            self._deliver(CORRECTED)
            self._keep()
            assert webserver.wait(webserver.launch(*PARTITION)) == "SUCCESS"
        self.undisturbed = self.content()
        self.restore()
        assert tables.changed(self.content(), self.undisturbed) != {}

    def webserver(self) -> Webserver:
        return Webserver(self.containers.url("webserver"))

    def start(self, name: str) -> None:
        """Start a service, or start it again as compose does with one that has ended, and wait until it is healthy."""
        self.containers.start(name, replaced=HALTING, **{FOLDER: str(self.halt.folder)})
        if name != "daemon":
            self.containers.wait_healthy(name)

    @property
    def url(self) -> str:
        return self.containers.database("billing")

    def content(self) -> tables.Stored:
        return tables.but_for_the_folder(tables.stored(self.url), self.folder)

    def unfinished(self) -> list[str]:
        """Runs that Dagster's storage does not hold for ended."""
        with psycopg.connect(self.containers.database("dagster")) as connection:
            rows = connection.execute(
                "SELECT run_id FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')"
            ).fetchall()
        return [row[0] for row in rows]

    def wait_until_quiet(self, timeout_s: float = 300) -> None:
        """Until no run is under way or waiting, the daemon's own retries included, and its sensor has tidied up."""
        deadline = time.monotonic() + timeout_s
        while left := [*self.unfinished(), *tables.leftovers(self.folder)]:
            assert time.monotonic() < deadline, f"still there after {timeout_s} s: {left}"
            time.sleep(0.5)

    def advisory_locks(self) -> int:
        with psycopg.connect(self.url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
                " WHERE locktype = 'advisory' AND datname = 'billing'"
            ).fetchone()
        assert row is not None
        return int(row[0])

    def restore(self) -> None:
        """The state before the correction was collected; nothing may be running."""
        with psycopg.connect(self.postgres.admin, autocommit=True) as connection:
            connection.execute("DROP DATABASE billing WITH (FORCE)")
            connection.execute("CREATE DATABASE billing TEMPLATE before OWNER billing")
        shutil.rmtree(self.folder / "data")
        subprocess.run(["cp", "-a", str(self.folder / "before"), str(self.folder / "data")], check=True)
        self.halt.clear()

    def _keep(self) -> None:
        with psycopg.connect(self.postgres.admin, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'billing'")
            connection.execute(sql.SQL("CREATE DATABASE before TEMPLATE billing OWNER billing"))
        subprocess.run(["cp", "-a", str(self.folder / "data"), str(self.folder / "before")], check=True)

    def _deliver(self, lines: "list[Line] | tuple[Line, ...]") -> None:
        inbox = self.folder / "config" / "inbox" / "rive"
        inbox.mkdir(parents=True, exist_ok=True)
        (inbox / "R189_RIVE_202401.csv").write_text(charge_file(lines), encoding="utf-8", newline="")


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    with folder_for_a_server() as folder, TcpServer.running("billing", "SUPERUSER", PASSWORD) as postgres:
        postgres.create("billing", "billing")
        made = Deployment(folder, postgres)
        try:
            made.prepare()
            yield made
        finally:
            made.containers.stop_all()
