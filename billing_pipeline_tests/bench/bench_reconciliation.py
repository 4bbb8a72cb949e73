"""How long a month's verdicts take, as ratios to peers on the same Parquet files in the same run.

From the store's files to all result tables written as Parquet: items, reasons, invoice statuses, summary. The peers:

    bare join   DuckDB alone: one full outer join on the offer, a three-way CASE, written as Parquet
    pandas      the same join and verdict by pandas.merge
    datacompy   datacompy's Polars comparison of the two frames, joined on the offer; a set of differences, no verdict

Runs are interleaved and the medians compared; wall and processor seconds, for on a shared machine only the latter say
what the work is. Identities, which every real run checks too, are timed apart. `python -m
billing_pipeline_tests.bench.bench_reconciliation --rows 1000000 --runs 5 --exceptions 0.1 0.4`. The first run of a
process also translates its expressions, which is shown apart. Besides, each in place of the peers:

    --growth 10   the same month ten times as large beside it: at most 1.1 times as long per line
    --peak        one run with identities in a process of its own, and the most memory it held
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pandas as pd
from ibis.expr.types import Table

from billing_pipeline.config import ReconciliationRules
from billing_pipeline.periods import Period
from billing_pipeline.reconciliation import identities
from billing_pipeline.reconciliation.engine import Inputs, reconcile
from billing_pipeline.reconciliation.summary import invoice_status, summarize
from billing_pipeline.steps.engine import PARQUET_OPTIONS, duckdb_backend
from billing_pipeline_tests.bench.memory import most_resident_bytes
from billing_pipeline_tests.bench.reconciliation_data import OPERATOR, PERIOD, write_month

KEY = "installed_offer_id"
DATACOMPY = ("datacompy==0.19.0", "polars")
COMPARE = """
import sys, time
import polars as pl
from datacompy.polars import PolarsCompare
services = pl.read_parquet(sys.argv[1], columns=["installed_offer_id", "expected_amount", "currency"])
lines = pl.read_parquet(sys.argv[2], columns=["installed_offer_id", "total_ht", "currency"])
started, used = time.perf_counter(), time.process_time()
services = services.rename({"expected_amount": "amount"}).unique("installed_offer_id")
lines = lines.rename({"total_ht": "amount"}).unique("installed_offer_id")
found = PolarsCompare(services, lines, join_columns="installed_offer_id", abs_tol=0.01)
found.all_mismatch(), len(found.df1_unq_rows), len(found.df2_unq_rows)
print(time.perf_counter() - started, time.process_time() - used)
"""
Timed = Callable[[Path, Path], None]


def file(root: Path, table: str) -> Path:
    return root / table / f"period={PERIOD}" / f"operator_code={OPERATOR}" / "data.parquet"


def ours(root: Path, out: Path, *, check: bool = False) -> None:
    """All result tables; `check` adds what a real run verifies before it publishes them."""
    verdicts(duckdb_backend(out / "spill"), root, out, check=check)


def verdicts(connection: Any, root: Path, out: Path, *, check: bool = False) -> None:
    """All result tables by this engine, as Parquet under `out`."""

    def read(name: str) -> Table:
        rows = connection.read_parquet(file(root, name), hive_partitioning=False)
        return rows.mutate(period=ibis.literal(PERIOD, "string")).drop("run_id", "loaded_at")

    allocations, services = read("line_allocations"), read("services")
    inputs = Inputs(
        services=services,
        prices=read("service_prices"),
        expected_charges=read("expected_charges"),
        lines=read("invoice_lines"),
        allocations=allocations.filter(allocations.service_month == PERIOD),
        rejected_keys=read("rejected_rows").select(KEY, "external_reference", "serial_number", "order_reference"),
    )
    results = reconcile(inputs, Period.parse(PERIOD), ReconciliationRules())
    results.items.to_parquet(out / "items.parquet", **PARQUET_OPTIONS)
    results.reasons.to_parquet(out / "reasons.parquet", **PARQUET_OPTIONS)
    items = connection.read_parquet(out / "items.parquet")
    invoice_status(items, inputs.allocations, read("invoice_findings")).to_parquet(out / "statuses.parquet")
    summarize(items, services).to_parquet(out / "summary.parquet")
    if check:
        reasons = connection.read_parquet(out / "reasons.parquet")
        assert not identities.check(services, inputs.allocations, items, reasons).limit(1).to_pyarrow().num_rows


def bare_join(root: Path, out: Path) -> None:
    services, lines = (f"read_parquet('{file(root, name)}')" for name in ("services", "invoice_lines"))
    duckdb.connect().execute(
        f"""COPY (
            SELECT s.service_id, l.invoice_id, l.line_id, coalesce(s.{KEY}, l.{KEY}) AS key, l.currency,
                   s.expected_amount, l.total_ht, l.total_ht - s.expected_amount AS difference,
                   CASE WHEN s.service_id IS NULL OR l.line_id IS NULL THEN 'UNMATCHED'
                        WHEN abs(l.total_ht - s.expected_amount) <= 0.01 THEN 'MATCHED' ELSE 'DISCREPANCY' END AS status
            FROM {services} AS s FULL OUTER JOIN {lines} AS l ON s.{KEY} = l.{KEY}
        ) TO '{out / "join.parquet"}' (FORMAT parquet)"""
    )


def by_pandas(root: Path, out: Path) -> None:
    columns = {
        "services": ["service_id", KEY, "expected_amount"],
        "invoice_lines": ["invoice_id", "line_id", KEY, "total_ht"],
    }
    services, lines = (
        pd.read_parquet(file(root, name), columns=wanted, dtype_backend="pyarrow") for name, wanted in columns.items()
    )
    rows = services.merge(lines, on=KEY, how="outer")
    rows["difference"] = rows["total_ht"] - rows["expected_amount"]
    rows["status"] = "DISCREPANCY"
    rows.loc[(rows["difference"].abs() <= 0.01).fillna(False), "status"] = "MATCHED"
    rows.loc[rows["difference"].isna(), "status"] = "UNMATCHED"
    rows.to_parquet(out / "pandas.parquet")


def datacompy_environment(folder: Path) -> Path | None:
    """A Python with datacompy, apart from ours since it pins an old pandas; None where it cannot be had."""
    python = folder / "datacompy" / "bin" / "python"
    uv = [sys.executable, "-m", "uv", "--quiet"]
    made = subprocess.run([*uv, "venv", str(folder / "datacompy"), "--python", sys.executable], check=False)
    got = subprocess.run([*uv, "pip", "install", "--python", str(python), *DATACOMPY], check=False)
    return python if made.returncode == 0 and got.returncode == 0 else None


def by_datacompy(python: Path, root: Path) -> tuple[float, float]:
    arguments = [str(python), "-c", COMPARE, str(file(root, "services")), str(file(root, "invoice_lines"))]
    told = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split()
    return float(told[0]), float(told[1])


def timed(work: Timed, root: Path, out: Path) -> tuple[float, float]:
    started, used = time.perf_counter(), time.process_time()
    work(root, out)
    return time.perf_counter() - started, time.process_time() - used


def measure(root: Path, out: Path, runs: int, python: Path | None, peers: bool) -> dict[str, dict[str, float]]:
    contenders: dict[str, Callable[[], tuple[float, float]]] = {
        "bare join": lambda: timed(bare_join, root, out),
        "ours": lambda: timed(ours, root, out),
        "ours, identities checked": lambda: timed(lambda r, o: ours(r, o, check=True), root, out),
    }
    if peers:
        contenders["pandas"] = lambda: timed(by_pandas, root, out)
    if python is not None:
        contenders["datacompy"] = lambda: by_datacompy(python, root)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(runs):
        for name, run in contenders.items():
            seconds[name].append(run())
    return {
        name: {"wall_s": statistics.median(w for w, _ in found), "cpu_s": statistics.median(c for _, c in found)}
        for name, found in seconds.items()
    }


def peak_of_one_run(root: Path, out: Path) -> float:
    """GiB resident at most in a process that does nothing but reconcile the month and check its identities."""
    arguments = [sys.executable, "-m", __spec__.name, "--one", str(root), str(out)]
    told = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    return float(told)


def one_run(root: Path, out: Path) -> None:
    ours(root, out, check=True)
    print(most_resident_bytes() / 2**30)


def beside(title: str, runs: int, one: tuple[str, Path], other: tuple[str, Path], out: Path) -> dict[str, Any]:
    """Two stores, run in turns, and the median of the ratios of neighbouring runs."""
    seconds: dict[str, list[tuple[float, float]]] = {one[0]: [], other[0]: []}
    timed(ours, one[1], out)  # so that neither of the two pays for the translation
    for _ in range(runs):
        for name, root in (one, other):
            seconds[name].append(timed(lambda r, o: ours(r, o, check=True), root, out))
    pairs = list(zip(*seconds.values(), strict=True))
    ratios = [statistics.median(second[unit] / first[unit] for first, second in pairs) for unit in (0, 1)]
    print(f"{title}, medians of {runs} runs in turns")
    for name, found in seconds.items():
        wall, used = (statistics.median(run[unit] for run in found) for unit in (0, 1))
        print(f"  {name:<26} {wall:7.2f} s wall {used:7.2f} s processor")
    print(f"  {other[0]} / {one[0]}: {ratios[0]:.2f}x wall, {ratios[1]:.2f}x processor")
    return {"seconds": seconds, "wall_ratio": ratios[0], "cpu_ratio": ratios[1]}


def report(title: str, medians: dict[str, dict[str, float]]) -> None:
    base = medians["bare join"]
    print(title)
    for name, found in medians.items():
        ratios = {unit: found[unit] / base[unit] for unit in found}
        print(
            f"  {name:<26} {found['wall_s']:7.2f} s wall ({ratios['wall_s']:5.1f}x)"
            f" {found['cpu_s']:7.2f} s processor ({ratios['cpu_s']:5.1f}x)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--exceptions", type=float, nargs="+", default=[0.1, 0.4])
    parser.add_argument("--no-peers", action="store_true", help="only the bare join")
    parser.add_argument("--json", type=Path, help="also write the medians there")
    parser.add_argument("--growth", type=int, help="beside a month this many times as large")
    parser.add_argument("--peak", action="store_true", help="memory of one run in a process of its own")
    parser.add_argument("--one", type=Path, nargs=2, metavar=("ROOT", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=r"fetch_arrow_table\(\) is deprecated")
    if options.one:
        return one_run(*options.one)
    with tempfile.TemporaryDirectory(prefix="billing-bench-") as name:
        folder = Path(name)
        told = alone(options, folder) if options.growth or options.peak else with_peers(options, folder)
    if options.json:
        options.json.write_text(json.dumps(told, indent=2))
    return None


def with_peers(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = {}
    python = None if options.no_peers else datacompy_environment(folder)
    for share in options.exceptions:
        root = write_month(folder / f"{share}", options.rows, share)
        if not told:
            _, used = timed(ours, root, folder)
            print(f"first run in this process: {used:.2f} s processor")
        medians = measure(root, folder, options.runs, python, not options.no_peers)
        report(f"{options.rows} services x lines, {share:.0%} exceptions, medians of {options.runs} runs", medians)
        told[f"{share}"] = medians
    peak = most_resident_bytes() / 2**30
    print(f"peak resident memory of this process, peers included: {peak:.1f} GiB")
    return told


def alone(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Ours against itself, at the first share of exceptions."""
    told: dict[str, Any] = {}
    share = options.exceptions[0]
    root = write_month(folder / "month", options.rows, share)
    this = (f"{options.rows} lines", root)
    if options.peak:
        told["peak_gib"] = peak_of_one_run(root, folder)
        print(f"{options.rows} services x lines: {told['peak_gib']:.2f} GiB resident at most, identities checked")
    if options.growth:
        rows = options.rows * options.growth
        large = (f"{rows} lines", write_month(folder / "large", rows, share))
        told["growth"] = beside(f"{options.growth} times the lines", options.runs, this, large, folder)
    return told


if __name__ == "__main__":
    main()
