"""The real server of storage/, one database for all of these tests, and a world of its own for each."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from billing_pipeline.storage.connections import connect
from billing_pipeline.storage.embedded import EmbeddedServer
from billing_pipeline.storage.migrate import upgrade
from billing_pipeline.storage.servers import create_database
from billing_pipeline_tests.rebilling.world import World, served
from billing_pipeline_tests.storage.conftest import server

__all__ = ["server"]


@pytest.fixture(scope="session")
def url(server: EmbeddedServer) -> str:
    name = f"rebilling_{os.getpid()}"
    create_database(server.url_for("postgres"), name)
    upgrade(server.url_for(name))
    return server.url_for(name)


@pytest.fixture
def new_world(url: str, tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Makes worlds one after the other on one database: each begins with empty tables, its own folder and API."""
    with ExitStack() as stack:

        def make() -> World:
            with connect(url, autocommit=True) as connection:
                connection.execute(
                    "TRUNCATE rebilling.customer_invoices, rebilling.customer_invoice_lines, rebilling.customer_invoice_events"
                )
            stack.pop_all().close()
            base_url, app, disturbed = stack.enter_context(served())
            folder = tmp_path / f"world-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            return World(folder, url, base_url, app, disturbed)

        yield make


@pytest.fixture
def world(new_world: Callable[[], World]) -> World:
    return new_world()
