"""One embedded server, a database with the books and the marts made from them, and copies of it to break."""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from billing_pipeline.config import load_config
from billing_pipeline.steps import marts
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline.storage import embedded
from billing_pipeline.storage.embedded import EmbeddedServer
from billing_pipeline.storage.migrate import upgrade
from billing_pipeline_tests.marts import books

CONFIG = """\
version: 1
first_period: "2024-01"
storage: {{data_dir: {data_dir}}}
services: {{inventory: ./services.csv}}
operators:
  - code: SFR
    name: SFR SA
    source: {{type: r189_files, folder: ./inbox}}
    reconciliation: {{claim_months: {months}}}
"""
SERVICES_HEADER = (
    "service_id,operator_code,description,customer_id,currency,monthly_price_ht,discount_percent,activated_on,"
    "terminated_on,installed_offer_id,external_reference,serial_number,order_reference\n"
)
_numbers = itertools.count(1)


@dataclass
class Office:
    """A configuration, its database and what a command needs to find them. All of them share one data_dir/dbt."""

    folder: Path
    url: str
    dagster_url: str

    @property
    def config_path(self) -> Path:
        return self.folder / "billing.yaml"

    @property
    def environment(self) -> dict[str, str]:
        return {"BILLING_POSTGRES_URL": self.url, "BILLING_DAGSTER_POSTGRES_URL": self.dagster_url}

    @property
    def data_dir(self) -> Path:
        return load_config(self.config_path).storage.data_dir

    def configure(self, months: int, data_dir: Path | None = None) -> None:
        text = CONFIG.format(months=months, data_dir=data_dir or self.folder.parent / "data")
        self.config_path.write_text(text, encoding="utf-8")

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query.encode()).fetchall()

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.url) as connection:
            for statement in statements:
                connection.execute(statement.encode())


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    with tempfile.TemporaryDirectory(prefix="billing-test-", ignore_cleanup_errors=True) as name:
        running = embedded.start(Path(name))
        try:
            with psycopg.connect(running.url_for("postgres"), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
            yield running
        finally:
            embedded.stop(Path(name))


@pytest.fixture(scope="session")
def new_office(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Office]:
    """Makes an office with an empty database, or with a copy of another's."""
    root = tmp_path_factory.mktemp("marts")

    def make(template: Office | None = None) -> Office:
        number = next(_numbers)
        folder = root / f"office-{number}"
        (folder / "inbox").mkdir(parents=True)
        (folder / "services.csv").write_text(SERVICES_HEADER, encoding="utf-8")
        names = [f"{kind}_{os.getpid()}_{number}" for kind in ("marts", "dagster")]
        with psycopg.connect(server.url_for("postgres"), autocommit=True) as connection:
            for name, like in zip(names, (template and template.url, None), strict=True):
                source = like.split("/")[3].partition("?")[0] if like else "template1"
                connection.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source))
                )
        office = Office(folder, server.url_for(names[0]), server.url_for(names[1]))
        office.configure(months=12)
        return office

    return make


@pytest.fixture
def open_workspace() -> Iterator[Callable[[Office], Workspace]]:
    with ExitStack() as stack:
        yield lambda office: stack.enter_context(Workspace.open(load_config(office.config_path), office.environment))


@pytest.fixture(scope="session")
def made(new_office: Callable[..., Office]) -> Office:
    """The books with the marts made from them. Shared: read it, or break a copy."""
    office = new_office()
    upgrade(office.url)
    books.store(office.url)
    office.configure(months=6)
    with Workspace.open(load_config(office.config_path), office.environment) as workspace:
        assert marts.needed(workspace)
        outcome = marts.make(workspace)
        assert outcome.failure is None
        assert not marts.needed(workspace)
    return office
