"""Folders with a configuration, and databases of their own on one running server: made, run in, and copied."""

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from billing_pipeline.storage import embedded
from billing_pipeline.storage.embedded import EmbeddedServer
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.program import Ended, Program, Started

_numbers = itertools.count(1)


@contextmanager
def folder_for_a_server() -> Iterator[Path]:
    """A folder under /tmp whose embedded servers are stopped at the end: pytest's own is closed to the server's user."""
    with tempfile.TemporaryDirectory(prefix="billing-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            yield folder
        finally:
            for cluster in folder.glob("**/postgres/cluster"):
                embedded.stop(cluster.parent.parent)


class Server:
    """One server for many places. No test pulls its plug, so it does not wait for the disk."""

    def __init__(self, running: EmbeddedServer, folder: Path) -> None:
        self._running = running
        self._folder = folder

    @classmethod
    @contextmanager
    def started(cls) -> Iterator["Server"]:
        with folder_for_a_server() as folder:
            running = embedded.start(folder)
            with psycopg.connect(running.url_for("postgres"), autocommit=True) as connection:
                for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                    connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
                connection.execute("SELECT pg_reload_conf()")
            yield cls(running, folder)

    def create(self, template: str | None = None) -> str:
        """A new database, a copy of `template` (which nobody may be connected to)."""
        name = f"place_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template or "template1")
                )
            )
        return name

    def url(self, database: str) -> str:
        return self._running.url_for(database)

    def place(self, program: Program, template: "Place | None" = None) -> "Place":
        """An empty folder with databases of its own, or a copy of a place in which nothing runs."""
        folder = self._folder / f"place-{next(_numbers)}"
        if template is None:
            folder.mkdir(mode=0o755)
            return Place(self, program, folder, self.create(), self.create())
        # With owners, times and links, as an administrator copies a folder.
        subprocess.run(["cp", "-a", str(template.folder), str(folder)], check=True)
        return Place(
            self, program, folder, self.create(template.database), self.create(template.dagster_database),
            dict(template.secrets),
        )  # fmt: skip


@dataclass
class Place:
    """A folder with billing.yaml, its inputs and data/, and the two databases that go with it."""

    server: Server
    program: Program
    folder: Path
    database: str
    dagster_database: str
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.server.url(self.database)

    @property
    def dagster_url(self) -> str:
        return self.server.url(self.dagster_database)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "BILLING_POSTGRES_URL": self.url,
            "BILLING_DAGSTER_POSTGRES_URL": self.dagster_url,
            "HOME": str(self.folder),
            **self.secrets,
        }

    def start(self, *arguments: str, point: str | None = None, extra: Mapping[str, str] | None = None) -> Started:
        return self.program.start(
            *arguments, folder=self.folder, extra={**self.environment, **(extra or {})}, point=point
        )

    def command(self, *arguments: str, point: str | None = None, extra: Mapping[str, str] | None = None) -> Ended:
        return self.start(*arguments, point=point, extra=extra).wait()

    def run(self, *periods: str, options: tuple[str, ...] = (), code: int = 0) -> Ended:
        """`run` for these periods, which must end with `code`."""
        ended = self.command("run", *(word for period in periods for word in ("--period", period)), *options)
        assert ended.code == code, f"exit code {ended.code}\n{ended.out}\n{ended.err}"
        return ended

    def copy(self) -> "Place":
        return self.server.place(self.program, self)

    def install(self, source: Path) -> None:
        """Copy a folder of inputs into this one, over what is there."""
        shutil.copytree(source, self.folder, dirs_exist_ok=True)

    def stored(self) -> tables.Stored:
        return tables.stored(self.url)

    def query(self, statement: LiteralString) -> list[tables.Row]:
        """The rows of a statement, as dictionaries."""
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            return connection.execute(statement).fetchall()

    def content(self) -> tables.Stored:
        """All tables, but for what two places with the same inputs may differ in."""
        return tables.but_for_the_folder(self.stored(), self.folder)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
        return path
