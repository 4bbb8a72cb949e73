"""One operator's month on its whole way: an API that misbehaves, the three steps, a real PostgreSQL, every row of every table.

The steps are called as the assets call them, without a Dagster process for each of many cases. Sources read through
sockets, tables through plain SQL (pipeline/tables.py).
"""

import itertools
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from traceback import format_exception

import psycopg
from psycopg import sql

from billing_pipeline.config import BillingConfig, load_config
from billing_pipeline.errors import PartitionFailed
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.reseller import Reseller
from billing_pipeline.sandbox.server import SandboxServer
from billing_pipeline.sandbox.workspace import write_workspace
from billing_pipeline.steps.collect import collect
from billing_pipeline.steps.failures import failure_recorded
from billing_pipeline.steps.load import load
from billing_pipeline.steps.reconcile import reconcile
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline.storage import embedded
from billing_pipeline.storage.migrate import upgrade
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.canaries import in_folder, leaks
from billing_pipeline_tests.pipeline.places import folder_for_a_server
from billing_pipeline_tests.pipeline.tables import Stored
from billing_pipeline_tests.sources.shelf import CANARIES

MARCH = Period(2024, 3)
COMPLETE, INCOMPLETE, FAILED = "complete", "incomplete", "failed"
# The same number of tries as a user has, of waits a fraction.
QUICK = "{connect_timeout_s: 2, read_timeout_s: 0.6, deadline_s: 8, attempts: 4, concurrency: 4}"
_numbers = itertools.count(1)
_PLACE = re.compile(r"127\.0\.0\.1:\d+|/\S*/book-\d+/")


@dataclass(frozen=True)
class Came:
    """What a month came to, the reason where there is one, and all tables afterwards."""

    kind: str
    why: str
    tables: Stored
    happened: Sequence[tuple[str, str]] = ()
    requests: Sequence[tuple[str, str]] = ()
    trace: str = ""  # as --debug shows a failure
    leaks: Sequence[str] = ()  # where a secret stands: log, traceback, files, tables


class Server:
    """One embedded server and a database with our schema, of which every book gets a copy."""

    def __init__(self, running: embedded.EmbeddedServer, folder: Path) -> None:
        self._running, self._folder = running, folder
        self._template = self._created("template1")
        upgrade(self.url(self._template))

    def url(self, database: str) -> str:
        return self._running.url_for(database)

    def _created(self, template: str) -> str:
        name = f"book_{os.getpid()}_{next(_numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)
        return name

    def book(self, operator: str, template: "Book | None" = None) -> "Book":
        """An empty one, or a copy of one in which nothing runs."""
        folder = self._folder / f"book-{next(_numbers)}"
        if template is None:
            folder.mkdir()
        else:
            shutil.copytree(template.folder, folder)
        return Book(self, operator, folder, self._created(template.database if template else self._template))

    def drop(self, book: "Book") -> None:
        shutil.rmtree(book.folder)
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(book.database)))


@contextmanager
def started() -> Iterator[Server]:
    """No test pulls this server's plug, so it does not wait for the disk."""
    with folder_for_a_server() as folder:
        running = embedded.start(folder)
        with psycopg.connect(running.url_for("postgres"), autocommit=True) as connection:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
            connection.execute("SELECT pg_reload_conf()")
        yield Server(running, folder)


@dataclass
class Book:
    """One operator's configuration, folder and database."""

    server: Server
    operator: str
    folder: Path
    database: str

    def copy(self) -> "Book":
        return self.server.book(self.operator, self)

    def come_to(
        self, reseller: Reseller, period: Period, *, faults: Sequence[str] = (), seed: int = 0, http: str = QUICK
    ) -> Came:
        """Collect, load and reconcile the month against the sandbox with these faults."""
        app = create_app(reseller, api_key=CANARIES["NETWO_API_KEY"], secrets=CANARIES, faults=faults, fault_seed=seed)
        with SandboxServer(app) as sandbox, _everything_logged() as log:
            path = write_workspace(self.folder, reseller, sandbox.base_url)
            text = path.read_text(encoding="utf-8")
            path.write_text(re.sub(r"(      type: (?:netwo|orange_b2b)\n)", rf"\1      http: {http}\n", text))
            came = self.run(load_config(path), period)
        secrets = [*CANARIES.values(), *app.state.orange_tokens.issued]
        texts = [("log", "\n".join(log).encode()), ("traceback", came.trace.encode()), ("tables", str(came).encode())]
        return replace(
            came,
            happened=tuple(app.state.faults),
            requests=tuple(app.state.requests),
            leaks=leaks(secrets, [*texts, *in_folder(self.folder)]),
        )

    def come_to_from_folder(
        self, reseller: Reseller, period: Period, *, spoil: Callable[[Path], None] = lambda inbox: None
    ) -> Came:
        """The same for an operator whose files are dropped in a folder, which `spoil` does something to beforehand."""
        path = write_workspace(self.folder, reseller, "http://127.0.0.1:9")
        config = load_config(path)
        source = config.operator(self.operator).source
        assert source.type == "r189_files"
        spoil(source.folder)
        return self.run(config, period)

    def paths(self, reseller: Reseller, period: Period) -> list[str]:
        """Every path the month's collection asks for, as a fault is given one."""
        book = self.copy()
        came = book.come_to(reseller, period)
        self.server.drop(book)
        return sorted({target.partition("?")[0].replace("[", "?") for _, target in came.requests})

    def run(self, config: BillingConfig, period: Period) -> Came:
        """The three steps as a run takes them: a failure ends it, an incomplete month is still reconciled."""
        run_id, operator = f"run-{next(_numbers)}", config.operator(self.operator)
        os.environ.update(CANARIES)  # where the sources look for their secrets
        url = self.server.url(self.database)
        with Workspace.open(config, {"BILLING_POSTGRES_URL": url}) as workspace:
            try:
                with failure_recorded(workspace, operator, period, run_id):
                    collect(workspace, operator, period, run_id=run_id, from_raw=False)
                    loaded = load(workspace, operator, period, run_id=run_id, loaded_at=datetime.now(UTC))
                    reconcile(workspace, operator, period, run_id=run_id, loaded_at=datetime.now(UTC))
            except PartitionFailed as failure:
                return Came(FAILED, str(failure), tables.stored(url), trace="".join(format_exception(failure)))
        return Came(COMPLETE if loaded.complete else INCOMPLETE, loaded.detail or "", tables.stored(url))


@contextmanager
def _everything_logged() -> Iterator[list[str]]:
    """What any logger says meanwhile, the chattiest ones at their chattiest."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("", "httpx", "httpcore")]
    levels = [logger.level for logger in loggers]
    loggers[0].addHandler(handler)
    try:
        for logger in loggers:
            logger.setLevel(logging.DEBUG)
        yield said
    finally:
        loggers[0].removeHandler(handler)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def comparable(stored: Stored) -> Stored:
    """The rows without what says which run wrote them, in which folder, and which port the sandbox had."""
    found = tables.but_for_the_run(stored)
    for rows in found.values():
        for row in rows:
            row.pop("fetched_at", None)
            row.update({name: anywhere(value) for name, value in row.items() if isinstance(value, str)})
        rows.sort(key=tables.order)
    return found


def anywhere(text: str) -> str:
    """A text without the folder and the port it speaks of."""
    return _PLACE.sub("", text)
