"""Spark as these tests have it: executors of their own, or a Spark Connect server on loopback. No check of its own."""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from billing_pipeline.config import BillingConfig

LOCAL_CLUSTER = "local-cluster[2,1,1024]"
FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
# Months of a few hundred rows: two hundred shuffle partitions and compiling each query cost minutes and find nothing.
# The full sweep leaves Spark as it is.
SMALL_MONTHS = {
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}


def require_spark() -> None:
    """Skip where Spark cannot run, saying why; fail instead where BILLING_TEST_REQUIRE names spark."""
    missing = []
    if importlib.util.find_spec("pyspark") is None:
        missing.append("pyspark (make setup-spark)")
    java = shutil.which("java")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr if java else ""
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) < 17:
        missing.append("Java 17")
    if missing:
        said = f"Spark is not tested: {' and '.join(missing)} not found"
        if "spark" in os.environ.get("BILLING_TEST_REQUIRE", "").replace(",", " ").split():
            pytest.fail(said)
        pytest.skip(said)


def write_settings(folder: Path) -> dict[str, str]:
    """Environment variables under which Spark reads these tests' settings from `folder`."""
    folder.mkdir(exist_ok=True)
    settings = {} if FULL else SMALL_MONTHS
    (folder / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    return {"SPARK_CONF_DIR": str(folder), "SPARK_LOCAL_IP": "127.0.0.1"}


def configuration(folder: Path, spark: Mapping[str, Any]) -> BillingConfig:
    """A configuration of which only the engine matters."""
    return BillingConfig.model_validate(
        {
            "path": folder / "billing.yaml",
            "version": 1,
            "first_period": "2024-01",
            "storage": {"data_dir": folder / "data"},
            "engine": "spark",
            "spark": spark,
            "services": {"inventory": folder / "services.csv"},
            "operators": [{"code": "RIVE", "name": "Rive", "source": {"type": "r189_files", "folder": folder}}],
        }
    )


@contextmanager
def connect_server(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a Spark Connect server of its own, ended afterwards."""
    home = Path(str(importlib.util.find_spec("pyspark").submodule_search_locations[0]))  # type: ignore[union-attr, index]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(home / "bin" / "spark-submit"), "--class", "org.apache.spark.sql.connect.service.SparkConnectServer",
        "--master", "local[2]", "--conf", f"spark.connect.grpc.binding.port={port}",
        "--conf", "spark.connect.grpc.binding.address=127.0.0.1", "--conf", "spark.driver.host=127.0.0.1",
        "--conf", "spark.ui.enabled=false", "--conf", f"spark.local.dir={folder}",
        "--conf", f"spark.sql.warehouse.dir={folder.as_uri()}",
    ]  # fmt: skip
    log = folder / "connect.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=sink, stderr=sink, start_new_session=True
        )
        try:
            _wait_for(port, process, log)
            yield f"sc://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()[-2000:]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise AssertionError(f"no answer from the Spark Connect server\n{log.read_text()[-2000:]}")
