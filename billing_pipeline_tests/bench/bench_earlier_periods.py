"""Whether reconciling a month costs more when many earlier months are stored: with none, then with 36.

    python -m billing_pipeline_tests.bench.bench_earlier_periods --rows 50000 --earlier 36 --runs 5

Every month is collected, loaded and reconciled by the pipeline itself, in a database of its own for either case. Then
the last month's file is replaced by one with fewer invoices and back again, and what is timed, in a process of its own,
is the reconciliation that follows: verdicts, identities, history and the transaction that publishes them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pyarrow import csv

from billing_pipeline.config import load_config
from billing_pipeline.periods import Period
from billing_pipeline.steps.collect import collect
from billing_pipeline.steps.load import load
from billing_pipeline.steps.reconcile import reconcile
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline.storage.servers import create_database
from billing_pipeline_tests.bench.bench_r189_file import ROWS_PER_INVOICE, write_file
from billing_pipeline_tests.bench.bench_r189_loading import INVENTORY_HEADER, Spent, server_for_a_run, write_workspace
from billing_pipeline_tests.bench.bench_r189_partitions import shown

LAST = Period(2024, 3)


def write_inventory(config: Path, file: Path) -> None:
    """A service per row of `file`, at its price, so that nearly every line is explained."""
    charges = csv.read_csv(
        file,
        parse_options=csv.ParseOptions(delimiter=";"),
        convert_options=csv.ConvertOptions(
            include_columns=["Installed Offer ID", "Monthly price", "Discount percentage"],
            column_types=dict.fromkeys(("Monthly price", "Discount percentage"), "string"),
        ),
    )
    columns = (charges[name].to_pylist() for name in charges.column_names)
    with (config.parent / "services.csv").open("w") as inventory:
        inventory.write(INVENTORY_HEADER)
        for number, (offer, price, discount) in enumerate(zip(*columns, strict=True)):
            inventory.write(f"SVC-{number:07d},BENCH,Accès,C-1,EUR,{price},{discount},2010-01-01,,{offer},,,\n")


def write_shorter(path: Path, whole: Path) -> Path:
    """The same file without its last invoice."""
    rows = whole.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(rows[:-ROWS_PER_INVOICE]))
    return path


def offer(config: Path, file: Path, period: Period) -> None:
    offered = config.parent / "inbox" / f"charges_{period}.csv"
    offered.unlink(missing_ok=True)
    os.link(file, offered)


def months(config: Path, url: str, periods: Sequence[Period], run_id: str) -> dict[str, float]:
    """Collect, load and reconcile the offered months in a process of their own; what the last reconciliation took."""
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, "--one", str(config), run_id, *map(str, periods)],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "BILLING_POSTGRES_URL": url},
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def one_month(workspace: Workspace, period: Period, run_id: str) -> dict[str, float]:
    (operator,) = workspace.config.operators
    collect(workspace, operator, period, run_id=run_id, from_raw=False)
    loaded = load(workspace, operator, period, run_id=run_id, loaded_at=datetime.now(UTC))
    assert loaded.complete, loaded.gaps
    with Spent(workspace.databases.billing) as spent:
        began, used = time.perf_counter(), time.process_time()
        outcome = reconcile(workspace, operator, period, run_id=run_id, loaded_at=datetime.now(UTC))
        seconds, ours = time.perf_counter() - began, time.process_time() - used
    assert outcome.replaced
    return {
        "seconds": seconds,
        "processor": ours + spent.seconds.get("server", 0),
        "items": outcome.rows["reconciliation_items"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--earlier", type=int, default=36)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--one", nargs="+", metavar=("CONFIG", "RUN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        config, run_id, *periods = options.one
        with Workspace.open(load_config(Path(config))) as workspace:
            found = [one_month(workspace, Period.parse(period), run_id) for period in periods]
        print(json.dumps(found[-1]))
        return
    with server_for_a_run() as (folder, server):
        whole = write_file(folder / "whole.csv", options.rows, month=str(LAST))
        files = (whole, write_shorter(folder / "shorter.csv", whole))
        places: dict[str, tuple[Path, str]] = {}
        for name, earlier in (("alone", 0), ("after_others", options.earlier)):
            create_database(server.url_for("postgres"), name)
            config = write_workspace(folder / name)
            write_inventory(config, whole)
            places[name] = config, server.url_for(name)
            periods = [LAST.shift(-back) for back in range(earlier, -1, -1)]
            for period in periods[:-1]:
                file = write_file(folder / f"{period}.csv", options.rows, month=str(period), prefix=f"I{period}")
                offer(config, file, period)
            offer(config, whole, LAST)
            months(config, places[name][1], periods, f"{name}-first")
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in places}
        for run in range(options.runs):
            for name, (config, url) in places.items():
                offer(config, files[(run + 1) % 2], LAST)
                measured[name].append(months(config, url, [LAST], f"{name}-{run}"))
    report(options.earlier, measured)


def report(earlier: int, measured: dict[str, list[dict[str, float]]]) -> None:
    items = measured["alone"][0]["items"]
    print(
        f"reconciling a month of {items:.0f} items, {earlier} earlier months stored, medians of {len(measured['alone'])}"
    )
    for what in ("seconds", "processor"):
        alone, after = ([one[what] for one in measured[name]] for name in measured)
        ratio = statistics.median(one / other for one, other in zip(after, alone, strict=True))
        print(
            f"  {what:<10} alone {statistics.median(alone):6.2f}   after others {statistics.median(after):6.2f}"
            f"   {ratio:.2f} times as long"
        )
        print(f"  {'':<10} of {shown(alone)}   of {shown(after)}")


if __name__ == "__main__":
    main()
