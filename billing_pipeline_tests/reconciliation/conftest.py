"""The engine the rules run on, with its memory of SQL; what Ibis 12 warns of beside the versions it is installed with."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # sqlglot prefers sqlglotc over the sqlglotrs wheel installed beside it; nothing of ours chooses between them.
    warnings.filterwarnings("ignore", message=r"sqlglot(rs|\[rs\]) is deprecated")
    import ibis

    from billing_pipeline.steps.engine import duckdb_backend

# Ibis 12 calls the old name of DuckDB 2.0's to_arrow_table(); drop when Ibis calls the new one.
_IBIS_ON_DUCKDB_2 = pytest.mark.filterwarnings(r"ignore:fetch_arrow_table\(\) is deprecated:DeprecationWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if __package__ in item.nodeid.replace("/", "."):
            item.add_marker(_IBIS_ON_DUCKDB_2)


@pytest.fixture(autouse=True, scope="session")
def _engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tables made here are DuckDB's as a step connects to it: hundreds of months by one memory of SQL."""
    before = ibis.options.default_backend
    spill: Path = tmp_path_factory.mktemp("spill")
    ibis.set_backend(duckdb_backend(spill))
    yield
    ibis.options.default_backend = before
