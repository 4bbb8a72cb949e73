"""How this process comes by a Spark session: a driver of its own (`master`) or a Spark Connect server (`remote`).

A driver is started once per process and stopped before it exits; what reads and computes is spark.py's. Needs the extra
`spark` and, for a driver, Java 17.
"""

import atexit
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from billing_pipeline.config import BillingConfig, Spark
from billing_pipeline.errors import ConfigurationError, EngineError

_JAVA = 17
_CONNECT_PORT = 15002
_ANSWER_WITHIN_S = 10
# With executors on this machine alone, the driver listens to this machine alone.
_LOCAL_MASTERS = ("local[", "local-cluster[")
_SETTINGS = {
    "spark.app.name": "billing_pipeline",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.catalogImplementation": "in-memory",
}
_starting = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Driver:
    """`home`: its files; `work`: where local-cluster's executors keep jars and logs, in Spark's package."""

    session: Any
    gateway: Any
    home: Path
    work: Path


_driver: _Driver | None = None


def require_engine(config: BillingConfig) -> None:
    """ConfigurationError with the remedy where this machine lacks what the configured engine needs."""
    if config.engine == "spark":
        require_spark(config)


def require_spark(config: BillingConfig) -> None:
    """ConfigurationError with the remedy unless this machine can run or reach Spark; contacts and imports nothing."""
    if importlib.util.find_spec("pyspark") is None:
        raise ConfigurationError(
            f"{config.path}: engine spark needs the Python package pyspark, which is not installed; "
            "run `make setup-spark` (elsewhere: pip install 'billing-pipeline[spark]'), or set engine: duckdb"
        )
    settings = _settings(config)
    if settings.master is None:
        return
    version = _java_version()
    if version is None or version < _JAVA:
        found = "none is on PATH or in JAVA_HOME" if version is None else f"found is Java {version}"
        raise ConfigurationError(
            f"{config.path}: engine spark with 'master' needs Java {_JAVA} or newer, and {found}; install one "
            "(Debian: apt-get install openjdk-17-jre-headless), name a Spark Connect server as 'remote', "
            "or set engine: duckdb"
        )


def new_session(config: BillingConfig) -> tuple[Any, Callable[[], None]]:
    """A session that shares no view and no setting with others, and what releases it. EngineError without Spark."""
    require_spark(config)
    ignore_pandas_notice()
    settings = _settings(config)
    if settings.remote is not None:
        return _remote_session(config, settings.remote, settings.token_env)
    assert settings.master is not None  # config.py refuses neither and both
    return _driver_session(config, settings.master), lambda: None


def ignore_pandas_notice() -> None:
    """PySpark 4.3 warns of pandas 3 wherever it first meets it; nothing here gives Spark a pandas frame."""
    warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas", category=FutureWarning)


def _settings(config: BillingConfig) -> Spark:
    assert config.spark is not None  # config.py refuses engine spark without it
    return config.spark


def _java_version() -> int | None:
    """The major version of the Java that Spark would start."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if java is None:
        return None
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(version[1]) if version else None


def _driver_session(config: BillingConfig, master: str) -> Any:
    """A session of the one driver of this process, started if it is the first."""
    global _driver
    with _starting:
        if _driver is None:
            _driver = _start_driver(config, master)
            atexit.register(stop_driver)
        return _driver.session.newSession()


def _start_driver(config: BillingConfig, master: str) -> _Driver:
    """The JVM beside this process. Its log goes to a file: on stderr it would drown the one line an error is told in."""
    from pyspark import SparkConf, SparkContext
    from pyspark.find_spark_home import _find_spark_home
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    # Not in data_dir: that is shared with other machines, and what a driver spills is its own affair.
    home = Path(tempfile.mkdtemp(prefix="billing-spark-"))
    conf = SparkConf(loadDefaults=False).setMaster(master).setAll(list(_SETTINGS.items()))
    conf.set("spark.sql.warehouse.dir", (home / "warehouse").as_uri())
    if master.startswith(_LOCAL_MASTERS):
        conf.set("spark.local.dir", str(home / "local"))
        conf.set("spark.driver.host", "127.0.0.1").set("spark.driver.bindAddress", "127.0.0.1")
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    log = home / "driver.log"
    try:
        with log.open("wb") as sink:
            gateway = launch_gateway(conf, popen_kwargs={"stdout": sink, "stderr": sink})
        context = SparkContext(conf=conf, gateway=gateway)
    except Exception as error:  # whatever Java, Spark or py4j say
        raise EngineError(
            f"{config.path}: spark.master {master}: cannot be started: {first_line(error)}; Spark's log is {log}"
        ) from None
    work = Path(_find_spark_home(), "work", context.applicationId)
    return _Driver(SparkSession(context), gateway, home, work)


def stop_driver() -> None:
    """Stop what this process started, while Python still runs: a driver that loses it prints hundreds of lines."""
    global _driver
    with _starting:
        driver, _driver = _driver, None
    if driver is None:
        return
    driver.session.stop()
    type(driver.session.sparkContext)._gateway = None
    driver.gateway.shutdown()
    driver.gateway.proc.stdin.close()
    driver.gateway.proc.wait(timeout=_ANSWER_WITHIN_S)
    for folder in (driver.home, driver.work):
        shutil.rmtree(folder, ignore_errors=True)


def _remote_session(config: BillingConfig, remote: str, token_env: str | None) -> tuple[Any, Callable[[], None]]:
    from pyspark.sql.connect.session import SparkSession

    place = urlsplit(remote)
    where = (place.hostname or "", place.port or _CONNECT_PORT)
    try:
        # Asked first: Spark's own client would go on trying for ten minutes.
        socket.create_connection(where, timeout=_ANSWER_WITHIN_S).close()
    except OSError as error:
        raise EngineError(
            f"{config.path}: spark.remote: nothing answers at {where[0]}:{where[1]} ({error.strerror or error}); "
            "start the Spark Connect server or correct the address"
        ) from None
    session = SparkSession.builder.remote(_with_token(remote, token_env)).create()
    return session, session.stop


def _with_token(remote: str, token_env: str | None) -> str:
    if token_env is None:
        return remote
    token = os.environ.get(token_env, "").strip()
    if not token:
        raise ConfigurationError(f"environment variable {token_env} is not set; put the Spark Connect token there")
    base = remote if "/;" in remote else f"{remote.rstrip('/')}/;"
    return f"{base.rstrip(';')};token={token}"


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
