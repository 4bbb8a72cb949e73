"""One server of databases, one database of made-up results that is only read, and `serve` running on it."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from billing_pipeline.storage.embedded import EmbeddedServer
from billing_pipeline.storage.migrate import upgrade
from billing_pipeline.storage.servers import create_database
from billing_pipeline_tests.api import results
from billing_pipeline_tests.api.serving import Serving, configuration, serving
from billing_pipeline_tests.storage.conftest import data_dir, empty_url, server

__all__ = ["data_dir", "empty_url", "server"]
_numbers = itertools.count()


@pytest.fixture(scope="session")
def new_database(server: EmbeddedServer) -> Callable[[], str]:
    """Makes migrated, empty databases."""

    def make() -> str:
        name = f"api_{os.getpid()}_{next(_numbers)}"
        create_database(server.url_for("postgres"), name)
        upgrade(server.url_for(name))
        return server.url_for(name)

    return make


@pytest.fixture(scope="session")
def results_url(new_database: Callable[[], str]) -> str:
    """Two operators, three months of seven invoices and nine services; to be read."""
    url = new_database()
    results.store(url)
    return url


@pytest.fixture(scope="session")
def results_api(results_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """`serve` on `results_url`; its configuration names the two operators and a third that was never run."""
    folder = configuration(tmp_path_factory.mktemp("serve"), ["OP01", "OP02", "OP03"])
    with serving(folder, results_url) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return configuration(tmp_path, ["OP01", "OP02"])
