"""Whether replacing one partition takes longer when many others are stored: with none, then with 100 beside it.

    python -m billing_pipeline_tests.bench.bench_r189_partitions --rows 100000 --others 100 --runs 5

The others are made by the server out of the first one, as other months of the same operator. Replacements are timed
alternately on a database without them and on one with them; two files with the same invoices take turns.
"""

import argparse
import os
import shutil
import statistics
from pathlib import Path

import psycopg
from psycopg import sql

from billing_pipeline.storage.servers import create_database
from billing_pipeline_tests.bench.bench_r189_file import write_file
from billing_pipeline_tests.bench.bench_r189_loading import MONTH, loaded, server_for_a_run, write_workspace

COPIED = ("invoice_lines", "line_allocations", "invoices", "invoice_documents")


def store_others(url: str, count: int) -> None:
    """Copies of the stored partition under `count` earlier months."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in COPIED:
            found = connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = 'billing' AND table_name = %s"
                " AND column_name <> 'period' ORDER BY ordinal_position",
                (table,),
            ).fetchall()
            names = [name for (name,) in found]
            # An invoice number belongs to one period, so each month's are its own.
            values = [
                sql.SQL("to_char(month, 'YYYYMM') || invoice_id") if name == "invoice_id" else sql.Identifier(name)
                for name in names
            ]
            connection.execute(
                sql.SQL(
                    "INSERT INTO billing.{table} (period, {names}) SELECT to_char(month, 'YYYY-MM'), {values}"
                    " FROM generate_series(1, %s) AS back, LATERAL (SELECT date '2024-03-01' - back * interval '1 month'"
                    " AS month) AS months, billing.{table} WHERE period = %s"
                ).format(
                    table=sql.Identifier(table),
                    names=sql.SQL(", ").join(map(sql.Identifier, names)),
                    values=sql.SQL(", ").join(values),
                ),
                (count, MONTH),
            )
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--others", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with server_for_a_run() as (folder, server):
        files = [write_file(folder / f"{seed}.csv", options.rows, month=MONTH, seed=seed) for seed in (189, 190)]
        places: dict[str, tuple[Path, str]] = {}
        for name in ("alone", "among_others"):
            create_database(server.url_for("postgres"), name)
            places[name] = (write_workspace(folder / name), server.url_for(name))
            replace(places[name], files[0], f"{name}-first")
        store_others(places["among_others"][1], options.others)
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in places}
        for run in range(options.runs):
            for name, place in places.items():
                measured[name].append(replace(place, files[(run + 1) % 2], f"{name}-{run}"))
        print(f"with {options.others} other partitions of {options.rows} rows, medians of {options.runs}")
        for at, what in enumerate(("seconds", "processor seconds")):
            alone, among = ([one[at] for one in measured[name]] for name in places)
            ratio = statistics.median(one / other for one, other in zip(among, alone, strict=True))
            print(
                f"  {what:<18} alone {statistics.median(alone):6.2f}   among others {statistics.median(among):6.2f}"
                f"   {ratio:.2f} times as long"
            )
            print(f"  {'':<18} of {shown(alone)}   of {shown(among)}")


def shown(values: list[float]) -> str:
    return ", ".join(f"{one:.2f}" for one in values)


def replace(place: tuple[Path, str], file: Path, run_id: str) -> tuple[float, float]:
    """(seconds, processor seconds) of loading `file` in the place of what is there."""
    config, url = place
    offered = config.parent / "inbox" / f"charges_{MONTH}.csv"
    offered.unlink(missing_ok=True)
    try:
        os.link(file, offered)
    except OSError:
        shutil.copy(file, offered)
    found = loaded(config, url, run_id)
    return found["seconds"], found["processor"]


if __name__ == "__main__":
    main()
