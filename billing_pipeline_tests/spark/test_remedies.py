"""What a user is told when Spark is configured and cannot be had: one line, the remedy in it, nothing started."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from billing_pipeline.config import environment_names, load_config
from billing_pipeline.errors import ConfigurationError, EngineError
from billing_pipeline.steps.spark_session import require_engine
from billing_pipeline_tests.spark import clusters

BILLING = """\
version: 1
first_period: "2024-01"
engine: spark
spark: {spark}
services: {{inventory: ./services.csv}}
operators:
  - {{code: RIVE, name: Rive, source: {{type: r189_files, folder: ./inbox}}}}
"""
LOCAL = '{master: "local[1]"}'


def written(folder: Path, spark: str) -> Path:
    path = folder / "billing.yaml"
    path.write_text(BILLING.format(spark=spark))
    return path


def check_config(folder: Path, spark: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "billing_pipeline", "check-config", "--config", str(written(folder, spark))],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def fake_java(folder: Path, version: str) -> Path:
    """A java that only tells its version, as Java does, on stderr."""
    java = folder / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2021-01-01' >&2\n")
    java.chmod(java.stat().st_mode | stat.S_IXUSR)
    return java


def test_without_the_extra_the_remedy_is_told_not_an_import_error(tmp_path, monkeypatch):
    config = load_config(written(tmp_path, LOCAL))
    elsewhere = [entry for entry in sys.path if not (Path(entry) / "pyspark").is_dir()]
    for name in [name for name in sys.modules if name.split(".")[0] == "pyspark"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", elsewhere)
    with pytest.raises(ConfigurationError, match=r"billing\.yaml: engine spark needs .*pyspark.*make setup-spark"):
        require_engine(config)


def test_an_old_java_is_named_with_the_remedy_before_anything_runs(tmp_path):
    clusters.require_spark()
    java = fake_java(tmp_path, "1.8.0_402")
    told = check_config(tmp_path, LOCAL, JAVA_HOME=str(java.parents[1]))
    assert told.returncode == 2
    assert "needs Java 17 or newer, and found is Java 8" in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_no_java_at_all_is_told_with_the_remedy(tmp_path):
    clusters.require_spark()
    told = check_config(tmp_path, LOCAL, JAVA_HOME="", PATH=str(tmp_path))
    assert told.returncode == 2
    assert "none is on PATH or in JAVA_HOME; install one" in told.stderr


def test_a_right_configuration_says_nothing_on_stderr_though_pyspark_is_installed(tmp_path):
    clusters.require_spark()
    told = check_config(tmp_path, LOCAL)
    assert (told.returncode, told.stderr) == (0, "")
    assert "engine spark" in told.stdout


def test_a_server_that_is_not_there_is_told_within_seconds(tmp_path):
    clusters.require_spark()
    from billing_pipeline.steps.spark import spark_engine

    config = load_config(written(tmp_path, '{remote: "sc://127.0.0.1:1"}'))
    with (
        pytest.raises(EngineError, match=r"nothing answers at 127\.0\.0\.1:1 .*start the Spark Connect server"),
        spark_engine(config, tmp_path / "scratch"),
    ):
        pass


def test_a_token_in_the_configuration_is_refused_and_not_quoted(tmp_path):
    with pytest.raises(ConfigurationError, match=r"spark\.token_env") as refused:
        load_config(written(tmp_path, '{remote: "sc://host:15002/;token=geheim"}'))
    assert "geheim" not in str(refused.value)


def test_the_variable_of_a_token_is_listed_among_what_is_needed(tmp_path):
    config = load_config(written(tmp_path, '{remote: "sc://host:15002", token_env: SPARK_TOKEN}'))
    assert ("spark", "SPARK_TOKEN") in environment_names(config)


@pytest.mark.parametrize("spark", ["{}", '{master: "local[1]", remote: "sc://host"}'])
def test_neither_and_both_ways_to_spark_are_refused(spark, tmp_path):
    with pytest.raises(ConfigurationError, match="either 'master' or 'remote'"):
        load_config(written(tmp_path, spark))
