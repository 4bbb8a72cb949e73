"""A real embedded server for the whole session, and a migrated database of its own for every test."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from billing_pipeline.storage import embedded
from billing_pipeline.storage.connections import connect
from billing_pipeline.storage.embedded import EmbeddedServer
from billing_pipeline.storage.migrate import upgrade
from billing_pipeline.storage.parquet import ParquetStore
from billing_pipeline.storage.partitions import PartitionStore
from billing_pipeline.storage.servers import create_database

LOADED_AT = datetime(2024, 4, 6, 4, 0, tzinfo=UTC)
_numbers = itertools.count()


def folder_for_a_server() -> Iterator[Path]:
    """Not under pytest's own folder: as root that is closed to the server's user again by every pytest that starts."""
    with tempfile.TemporaryDirectory(prefix="billing-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
        for data_dir in {path.parent.parent for path in Path(folder).glob("**/postgres/cluster")}:
            embedded.stop(data_dir)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder whose embedded server, if a test starts one, is stopped afterwards."""
    yield from folder_for_a_server()


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    for folder in folder_for_a_server():
        running = embedded.start(folder)
        # No test pulls the plug on this one, and with fsync its last checkpoint over 100 databases took 30 s.
        with connect(running.url_for("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield running


@pytest.fixture
def empty_url(server: EmbeddedServer) -> str:
    """A database without our schema."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    create_database(server.url_for("postgres"), name)
    return server.url_for(name)


@pytest.fixture
def url(empty_url: str) -> str:
    upgrade(empty_url)
    return empty_url


@pytest.fixture
def store(url: str, tmp_path: Path) -> PartitionStore:
    return PartitionStore(url, ParquetStore(tmp_path / "parquet"), lock_wait_s=30)
