"""What Ibis 12 warns of beside the versions it is installed with; every other warning stays an error."""

import warnings

import pytest

with warnings.catch_warnings():
    # sqlglot prefers sqlglotc over the sqlglotrs wheel installed beside it; nothing of ours chooses between them.
    warnings.filterwarnings("ignore", message=r"sqlglot(rs|\[rs\]) is deprecated")
    import ibis  # noqa: F401

# Ibis 12 calls the old name of DuckDB 2.0's to_arrow_table(); drop when Ibis calls the new one.
_IBIS_ON_DUCKDB_2 = pytest.mark.filterwarnings(r"ignore:fetch_arrow_table\(\) is deprecated:DeprecationWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if __package__ in item.nodeid.replace("/", "."):
            item.add_marker(_IBIS_ON_DUCKDB_2)
