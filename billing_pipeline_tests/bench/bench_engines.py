"""What Spark costs beside DuckDB on one machine: the same month's verdicts by either engine, at several sizes.

Each run is a process of its own that starts its engine, reads the store's Parquet files, writes items, reasons, invoice
statuses and summary as Parquet, checks the identities and ends. Shown are wall seconds with and without the engine's
start, processor seconds and the most memory resident, each of the whole process tree: Spark's driver and executors are
processes beside Python. Both engines' summaries have to be equal. `python -m
billing_pipeline_tests.bench.bench_engines --rows 1000000 10000000 30000000 --runs 1`; needs `make setup-spark` and Java.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from billing_pipeline.errors import ConfigurationError
from billing_pipeline.steps.engine import engine, result_files
from billing_pipeline.steps.spark_session import require_spark, stop_driver
from billing_pipeline_tests.bench.bench_reconciliation import verdicts
from billing_pipeline_tests.bench.reconciliation_data import write_month
from billing_pipeline_tests.spark.clusters import configuration

ENGINES = ("duckdb", "spark")
MASTER = "local-cluster[2,1,{megabytes}]"
# What a worker keeps for itself of the memory it may give to its executor.
EXECUTOR_SHARE = 0.85
_LOOK_EVERY_S = 0.2
_PAGE = os.sysconf("SC_PAGE_SIZE")


def one_run(kind: str, root: Path, out: Path, megabytes: int) -> None:
    """One month by one engine; the seconds of starting it, of the work, and of all processors, as JSON."""
    began = time.perf_counter()
    config = configuration(out, {"master": MASTER.format(megabytes=megabytes)})
    if kind == "duckdb":
        config = config.model_copy(update={"engine": "duckdb", "spark": None})
    with engine(config, out) as connection:
        started = time.perf_counter()
        verdicts(connection, root, out, check=True)
        worked = time.perf_counter()
    if kind == "spark":
        stop_driver()  # its processor seconds count once it has ended
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    told = {
        "start_s": started - began,
        "work_s": worked - started,
        "cpu_s": sum(one.ru_utime + one.ru_stime for one in used),
    }
    print(json.dumps(told))


def measured(kind: str, root: Path, out: Path, megabytes: int) -> dict[str, float]:
    """One run in a session of its own, and the most its processes held together."""
    out.mkdir(parents=True)
    conf = out / "conf"
    conf.mkdir()
    (conf / "spark-defaults.conf").write_text(
        f"spark.executor.memory {int(megabytes * EXECUTOR_SHARE)}m\nspark.driver.memory 2g\n"
    )
    environment = {**os.environ, "SPARK_CONF_DIR": str(conf), "SPARK_LOCAL_IP": "127.0.0.1"}
    command = [sys.executable, "-m", __spec__.name, "--one", kind, str(root), str(out), "--memory", str(megabytes)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(_resident(process.pid)))
        time.sleep(_LOOK_EVERY_S)
    told = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{kind} ended with {process.returncode}")
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return {**found, "peak_gib": peak / 2**30}


def _resident(session: int) -> Iterator[int]:
    """Bytes resident of each process of the session."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            yield int(fields[21]) * _PAGE


def summary(out: Path) -> list[dict[str, Any]]:
    return [row for file in result_files(out / "summary.parquet") for row in pq.read_table(file).to_pylist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--exceptions", type=float, default=0.1)
    parser.add_argument("--memory", type=int, default=4096, help="megabytes of each of the two Spark workers")
    parser.add_argument("--one", nargs=3, metavar=("ENGINE", "ROOT", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=r"fetch_arrow_table\(\) is deprecated")
    if options.one:
        kind, root, out = options.one
        return one_run(kind, Path(root), Path(out), options.memory)
    try:
        require_spark(configuration(Path(), {"master": MASTER.format(megabytes=options.memory)}))
    except ConfigurationError as error:
        print(f"not measured: {error}")
        return None
    for rows in options.rows:
        with tempfile.TemporaryDirectory(prefix="billing-bench-") as name:
            compare(rows, options, Path(name))
    return None


def compare(rows: int, options: argparse.Namespace, folder: Path) -> None:
    root = write_month(folder / "month", rows, options.exceptions)
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in ENGINES}
    for run in range(options.runs):
        for kind in ENGINES:
            found[kind].append(measured(kind, root, folder / f"{kind}-{run}", options.memory))
        assert summary(folder / f"duckdb-{run}") == summary(folder / f"spark-{run}"), "the engines disagree"
    print(
        f"{rows} services x lines, {options.exceptions:.0%} exceptions, medians of {options.runs} runs; summaries equal"
    )
    for kind, runs in found.items():
        told = {unit: statistics.median(run[unit] for run in runs) for unit in runs[0]}
        print(
            f"  {kind:<7} {told['work_s']:8.1f} s wall + {told['start_s']:5.1f} s start {told['cpu_s']:8.1f} s processor"
            f" {told['peak_gib']:6.2f} GiB"
        )


if __name__ == "__main__":
    main()
