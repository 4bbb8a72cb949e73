"""One Spark for all tests of a kind: starting one costs ten seconds and the work of two cores."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from billing_pipeline_tests.spark import clusters


@pytest.fixture(scope="session")
def spark_folder() -> Iterator[Path]:
    clusters.require_spark()
    with tempfile.TemporaryDirectory(prefix="billing-test-spark-") as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        for variable, value in clusters.write_settings(folder / "conf").items():
            patch.setenv(variable, value)
        yield folder


@pytest.fixture(scope="session")
def local_cluster(spark_folder: Path) -> Iterator[Any]:
    """A backend on two executors, each a process of its own."""
    from billing_pipeline.steps.spark import spark_engine
    from billing_pipeline.steps.spark_session import stop_driver

    config = clusters.configuration(spark_folder, {"master": clusters.LOCAL_CLUSTER})
    with spark_engine(config, spark_folder / "scratch") as backend:
        yield backend
    stop_driver()


@pytest.fixture(scope="session")
def connect(spark_folder: Path) -> Iterator[Any]:
    """A backend on a Spark Connect server."""
    from billing_pipeline.steps.spark import spark_engine

    with clusters.connect_server(spark_folder, {}) as remote:
        config = clusters.configuration(spark_folder, {"remote": remote})
        with spark_engine(config, spark_folder / "scratch") as backend:
            yield backend
