"""How long a charge file takes from its bytes to committed tables, beside `psql \\copy` of the same file.

    python -m billing_pipeline_tests.bench.bench_r189_loading --rows 1000000 --runs 5
    python -m billing_pipeline_tests.bench.bench_r189_loading --rows 10000000 --runs 1 --no-baselines   # peak memory

One round is: \\copy into a new logged table of the 50 typed columns with the key of invoice_lines; a first load; a second
load of a file with other bytes and the same invoices, which replaces the first. Rounds are interleaved, medians of them
are printed. Every load runs in a process of its own, timed inside it from the collected document to the commit, and
reports its peak memory and what each of its threads, and the server, spent.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import psycopg
from sqlalchemy.dialects import postgresql

from billing_pipeline.config import Profile, load_config
from billing_pipeline.periods import Period
from billing_pipeline.r189.reader import R189File
from billing_pipeline.schemas.r189 import R189_COLUMNS
from billing_pipeline.schemas.sql import SQL_TYPES
from billing_pipeline.steps.collect import collect
from billing_pipeline.steps.load import load
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline.storage import embedded
from billing_pipeline.storage.connections import connect, engine
from billing_pipeline.storage.embedded import EmbeddedServer
from billing_pipeline.storage.servers import create_database
from billing_pipeline_tests.bench.bench_r189_file import write_file
from billing_pipeline_tests.bench.memory import most_resident_bytes

MONTH = "2024-03"
TO_SQL_ROWS = 20_000
STAGES = {
    "server": "server: COPY, checks, keys, totals",
    "ahead": "reading, typing, judging",
    "main": "lines, shares, digests, totals, findings",
    "parquet": "writing Parquet",
    "copy-encoder": "text for COPY",
    "copy-sender": "sending",
}
INVENTORY_HEADER = (
    "service_id,operator_code,description,customer_id,currency,monthly_price_ht,discount_percent,activated_on,"
    "terminated_on,installed_offer_id,external_reference,serial_number,order_reference\n"
)
CONFIG = """\
version: 1
first_period: "2010-01"
storage: {data_dir: ./data}
services: {inventory: ./services.csv}
operators:
  - {code: BENCH, name: Bench, source: {type: r189_files, folder: ./inbox}}
"""


def write_workspace(folder: Path) -> Path:
    """A configuration of one operator with an empty inbox; its path."""
    (folder / "inbox").mkdir(parents=True)
    (folder / "services.csv").write_text(INVENTORY_HEADER)
    config = folder / "billing.yaml"
    config.write_text(CONFIG)
    return config


@contextmanager
def server_for_a_run() -> Iterator[tuple[Path, EmbeddedServer]]:
    """A folder and an embedded server with its usual settings, fsync included; both gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="billing-bench-", ignore_cleanup_errors=True) as folder:
        path = Path(folder)
        server = embedded.start(path / "server")
        try:
            yield path, server
        finally:
            embedded.stop(path / "server")


def copied_by_psql(server: EmbeddedServer, url: str, file: Path) -> tuple[float, float]:
    """(seconds, processor seconds of psql and the server) of `\\copy` into a table that did not exist, committed."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    columns = ", ".join(f"{one.name} {SQL_TYPES[one.kind].compile(dialect=dialect)}" for one in R189_COLUMNS)
    names = ", ".join(one.name for one in R189_COLUMNS)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS charges")
        connection.execute("DROP SEQUENCE IF EXISTS charge_rows")
        connection.execute("CREATE SEQUENCE charge_rows CACHE 1000")
        connection.execute(
            "CREATE TABLE charges (operator_code text NOT NULL DEFAULT 'BENCH',"
            f" period char(7) NOT NULL DEFAULT '{MONTH}', {columns}, line_id text NOT NULL"
            " DEFAULT '3fa9c1d2-' || lpad(nextval('charge_rows')::text, 8, '0'),"
            " PRIMARY KEY (operator_code, period, invoice_number, line_id))"
        )
        connection.execute("CHECKPOINT")
    command = f"\\copy charges ({names}) from '{file}' with (format csv, delimiter ';', header)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Spent(url) as spent:
        started = time.perf_counter()
        subprocess.run([embedded._binaries() / "psql", "-q", "-v", "ON_ERROR_STOP=1", url, "-c", command], check=True)
        seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, spent.seconds["server"] + after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def loaded(config: Path, url: str, run_id: str, period: str = MONTH) -> dict[str, Any]:
    """What `measure_load` found in a process of its own."""
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, "--measure", str(config), run_id, period]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env={**os.environ, "BILLING_POSTGRES_URL": url}, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure_load(config: Path, run_id: str, period: str) -> dict[str, Any]:
    """Collect, then load under the clock."""
    with Workspace.open(load_config(config)) as workspace:
        operator, month = workspace.config.operators[0], Period.parse(period)
        collect(workspace, operator, month, run_id=run_id, from_raw=False)
        with psycopg.connect(workspace.databases.billing, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        with Spent(workspace.databases.billing) as spent:
            started = time.perf_counter()
            outcome = load(workspace, operator, month, run_id=run_id, loaded_at=datetime.now(UTC))
            seconds = time.perf_counter() - started
    assert outcome.complete, outcome.gaps
    assert outcome.replaced
    return {
        "seconds": seconds,
        "rows": outcome.rows["invoice_lines"],
        "shares": outcome.rows["line_allocations"],
        "peak_mb": most_resident_bytes() / 2**20,
        "spent": spent.seconds,
        "processor": spent.total,
    }


class Spent:
    """Processor seconds while the block runs: by kind of thread of this process, and of the server behind `url`.

    The server's are its postmaster's own and its children's, dead or alive, so that none is missed between two looks.
    """

    def __init__(self, url: str) -> None:
        with psycopg.connect(url) as connection:
            backend = psutil.Process(connection.info.backend_pid)
            parent = backend.parent()
        assert parent is not None
        self._server = parent
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> "Spent":
        self._over = threading.Event()
        self._threads: dict[tuple[str, int], float] = {}
        self._server_before = self._of_server()
        self._main_before = time.thread_time()
        self._sampler = threading.Thread(target=self._sample, name="sampler")
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        main = time.thread_time() - self._main_before
        self._over.set()
        self._sampler.join()
        time.sleep(0.2)  # the postmaster has to hear that the load's backend is gone
        by_name: dict[str, float] = defaultdict(float, server=self._of_server() - self._server_before, main=main)
        for (name, _), total in self._threads.items():
            by_name[name] += total
        self.seconds = {name: round(spent, 2) for name, spent in sorted(by_name.items()) if spent >= 0.05}

    @property
    def total(self) -> float:
        return sum(spent for name, spent in self.seconds.items() if name != "sampler")

    def _of_server(self) -> float:
        total = sum(self._server.cpu_times()[:4])
        for child in self._server.children():
            with suppress(psutil.NoSuchProcess):
                total += sum(child.cpu_times()[:2])
        return total

    def _sample(self) -> None:
        this = psutil.Process()
        while not self._over.wait(0.1):
            names = {thread.native_id: thread.name.partition("_")[0] for thread in threading.enumerate()}
            for thread in this.threads():
                name = names.get(thread.id, "engine and Arrow pools")
                if name != "MainThread":  # a thread is as old as its work, but for this one
                    self._threads[name, thread.id] = thread.user_time + thread.system_time


def to_sql_seconds_per_row(url: str, file: Path) -> float:
    """pandas.read_csv and DataFrame.to_sql of the first 20 000 rows, the way the pipeline must not go."""
    started = time.perf_counter()
    rows = pd.read_csv(file, sep=";", nrows=TO_SQL_ROWS)
    rows.to_sql("charges_by_pandas", engine(url), if_exists="replace", index=False)
    return (time.perf_counter() - started) / len(rows)


def survey_seconds(file: Path) -> float:
    started = time.perf_counter()
    R189File(file, Profile(), name=file.name, sha256="0" * 64)
    return time.perf_counter() - started


def one_round(number: int, folder: Path, server: EmbeddedServer, files: list[Path], baselines: bool) -> dict[str, Any]:
    name = f"round_{number}"
    create_database(server.url_for("postgres"), name)
    url = server.url_for(name)
    found: dict[str, Any] = {}
    if baselines:
        found["psql"], found["psql_spent"] = copied_by_psql(server, url, files[0])
        found["to_sql"] = to_sql_seconds_per_row(url, files[0])
    config = write_workspace(folder / name)
    for what, file in zip(("first", "replacement"), files, strict=False):
        offered = config.parent / "inbox" / f"charges_{MONTH}.csv"
        offered.unlink(missing_ok=True)
        os.link(file, offered)
        found[what] = loaded(config, url, f"{name}-{what}")
    shutil.rmtree(config.parent)
    with connect(server.url_for("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    return found


def report(rounds: list[dict[str, Any]], rows: int, survey: float) -> None:
    first = statistics.median(one["first"]["seconds"] for one in rounds)
    print(f"first load       {first:7.2f} s  {rows / first:9.0f} rows/s  (survey alone {survey:.2f} s)")
    if "replacement" in rounds[0]:
        second = statistics.median(one["replacement"]["seconds"] for one in rounds)
        print(f"replacement      {second:7.2f} s  {rows / second:9.0f} rows/s")
    if "psql" in rounds[0]:
        psql = statistics.median(one["psql"] for one in rounds)
        ratios = [one["first"]["seconds"] / one["psql"] for one in rounds]
        print(f"psql \\copy       {psql:7.2f} s  {rows / psql:9.0f} rows/s")
        print(
            f"first / psql     {statistics.median(ratios):7.2f}    of rounds {', '.join(f'{one:.2f}' for one in ratios)}"
        )
        if "replacement" in rounds[0]:
            again = statistics.median(one["replacement"]["seconds"] / one["psql"] for one in rounds)
            print(f"replacement/psql {again:7.2f}")
        to_sql = statistics.median(one["to_sql"] for one in rounds)
        print(
            f"read_csv+to_sql  {1 / to_sql:9.0f} rows/s on {TO_SQL_ROWS} rows: {to_sql * rows / first:.0f} times as long"
        )
    print(f"peak memory      {max(one['first']['peak_mb'] for one in rounds):7.0f} MB in the pipeline's process")
    for what in ("first", "replacement"):
        if what in rounds[0]:
            report_processor(what, [one[what] for one in rounds], [one.get("psql_spent") for one in rounds])


def report_processor(what: str, loads: list[dict[str, Any]], psql: list[float | None]) -> None:
    """What the median load spent, by stage: unlike the clock it says the same on a busy machine."""
    ordered = sorted(loads, key=lambda one: one["processor"])
    median = ordered[len(ordered) // 2]
    print(f"{what}: {median['processor']:.2f} s of processor in {median['seconds']:.2f} s, of which")
    for name, seconds in sorted(median["spent"].items(), key=lambda item: -item[1]):
        if name != "sampler":
            print(f"  {STAGES.get(name, name):<44} {seconds:6.2f} s  {100 * seconds / median['processor']:5.1f} %")
    ratios = [load["processor"] / one for load, one in zip(loads, psql, strict=True) if one]
    if ratios:
        print(f"  {statistics.median(ratios):.2f} times what psql \\copy and its server spend")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-baselines", action="store_true", help="loads only")
    parser.add_argument("--no-replacement", action="store_true", help="the first load only")
    parser.add_argument("--measure", nargs=3, metavar=("CONFIG", "RUN", "PERIOD"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        config, run_id, period = options.measure
        print(json.dumps(measure_load(Path(config), run_id, period)))
        return
    with server_for_a_run() as (folder, server):
        files = [write_file(folder / "first.csv", options.rows, month=MONTH)]
        if not options.no_replacement:
            files.append(write_file(folder / "second.csv", options.rows, month=MONTH, seed=190))
        print(f"{options.rows} rows, {files[0].stat().st_size / 1e6:.0f} MB, {os.cpu_count()} cores", flush=True)
        survey = survey_seconds(files[0])
        rounds = [one_round(number, folder, server, files, not options.no_baselines) for number in range(options.runs)]
        report(rounds, options.rows, survey)


if __name__ == "__main__":
    main()
