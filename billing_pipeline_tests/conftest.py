"""What holds for all tests: how hard property tests try (many examples under `make test-full`), and what none inherits."""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None)
settings.register_profile("full", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Files that take minutes come first, so that two workers end together; none of them depends on another.
LONG = (
    "sources/test_faults_anywhere.py", "pipeline/test_demo.py", "docs/", "browser/", "pipeline/test_spark.py",
    "sources/test_faults_to_tables.py", "rebilling/test_crashes.py", "pipeline/", "deployment/", "faults/", "spark/",
    "marts/", "integration/",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _place(item.nodeid.partition("/")[2]))


def _place(name: str) -> int:
    return next((at for at, beginning in enumerate(LONG) if name.startswith(beginning)), len(LONG))


@pytest.fixture(autouse=True, scope="module")
def no_storage_of_a_closed_instance() -> Iterator[None]:
    """Dagster 1.13 keeps the storage of the instance in use in a context variable.

    Two instances that end in another order than they began leave the dead one's there, and the next module's definitions
    would not load (seen once in a run of all tests: "undefined DagsterInstance weakref").
    """
    if "dagster" not in sys.modules:
        yield
        return
    from dagster._core.storage.defs_state.base import set_defs_state_storage

    with set_defs_state_storage(None):
        yield
