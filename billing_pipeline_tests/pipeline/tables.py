"""Everything the pipeline stored, read by plain SQL and pyarrow, to be compared as wholes. Asks nothing of the package
but its registry of tables."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
from psycopg import sql
from psycopg.rows import dict_row

from billing_pipeline.schemas.columns import Kind, Table
from billing_pipeline.schemas.tables import TABLES

Row = dict[str, Any]
Stored = dict[str, list[Row]]
PROVENANCE = frozenset({"run_id", "loaded_at"})
# `contents` of the ledger names the load that wrote each file; `input_digest` has the program's own files in it.
# So do the history's own instant and run, which stay when its partition is written again.
_ACROSS_RUNS = PROVENANCE | {"contents", "input_digest", "changed_at", "changed_by_run"}
_ACROSS_FOLDERS = _ACROSS_RUNS | {"fetched_at"}


def names(url: str) -> list[str]:
    """Every table of schema billing, as the database lists them."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'billing' AND table_type = 'BASE TABLE'"
            " ORDER BY 1"
        ).fetchall()
    return [row[0] for row in found]


def stored(url: str) -> Stored:
    """Table → all its rows and columns, in an order that does not depend on how they lie."""
    found = {}
    with psycopg.connect(url, row_factory=dict_row) as connection:
        for name in names(url):
            rows = connection.execute(sql.SQL("SELECT * FROM billing.{}").format(sql.Identifier(name))).fetchall()
            found[name] = sorted(rows, key=order)
    return found


def but_for_the_run(tables: Mapping[str, list[Row]]) -> Stored:
    """Without what says which run wrote a row, and when."""
    return _without(tables, _ACROSS_RUNS)


def but_for_the_folder(tables: Mapping[str, list[Row]], folder: Path) -> Stored:
    """Also without what two folders beside each other differ in: their name, and when a document was first seen.

    A copied folder still names the one it was copied from, where it had no reason to write the row again.
    """
    beside = re.compile(re.escape(str(folder.parent)) + r"/[^/]+/")
    found = _without(tables, _ACROSS_FOLDERS)
    for rows in found.values():
        for row in rows:
            row.update({name: beside.sub("", value) for name, value in row.items() if isinstance(value, str)})
        rows.sort(key=order)
    return found


def _without(tables: Mapping[str, list[Row]], columns: frozenset[str]) -> Stored:
    return {
        name: sorted(({key: row[key] for key in row if key not in columns} for row in rows), key=order)
        for name, rows in tables.items()
    }


def order(row: Row) -> str:
    return json.dumps(row, sort_keys=True, default=str)


def changed(before: Stored, after: Stored) -> dict[str, tuple[int, list[Row]]]:
    """Table → how many rows are gone, and the first of the new ones; empty when all tables are equal."""
    told = {}
    for name in sorted(set(before) | set(after)):
        old, new = before.get(name, []), after.get(name, [])
        if old != new:
            known, fresh = {order(row) for row in old}, {order(row) for row in new}
            told[name] = (len(known - fresh), [row for row in new if order(row) not in known][:3])
    return told


def parquet_files(folder: Path) -> dict[str, str]:
    """Path below data/parquet → SHA-256 of every file there, staged ones included."""
    root = folder / "data" / "parquet"
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def in_parquet(folder: Path, table: Table) -> list[Row]:
    """All rows of a table's Parquet files, its partition columns taken from the path as strings."""
    rows = []
    for path in (folder / "data" / "parquet" / table.name).glob("period=*/operator_code=*/data.parquet"):
        partition = dict(part.split("=", 1) for part in path.parts if "=" in part)
        rows += [{**partition, **row} for row in pq.ParquetFile(path).read().to_pylist()]
    return [_as_in_postgres(table, row) for row in rows]


def _as_in_postgres(table: Table, row: Row) -> Row:
    as_json = {column.name for column in table.columns if column.kind is Kind.JSON}
    return {name: json.loads(value) if name in as_json and value else value for name, value in row.items()}


def unlike_in_parquet(folder: Path, tables: Stored) -> dict[str, tuple[int, list[Row]]]:
    """Tables whose Parquet files do not hold the rows PostgreSQL does."""
    ours = [table for table in TABLES if table.in_postgres and table.in_parquet]
    assert ours
    return changed(
        {table.name: tables[table.name] for table in ours},
        {table.name: sorted(in_parquet(folder, table), key=order) for table in ours},
    )


def leftovers(folder: Path) -> list[str]:
    """Scratch, staging and half-written files that no ended run may leave."""
    data = folder / "data"
    waiting = [path for path in (data / "parquet" / ".staging").rglob("*") if path.is_file()]
    scratch = list((data / "scratch").glob("*"))
    incoming = list(data.rglob(".incoming-*"))
    return sorted(str(path.relative_to(folder)) for path in (*waiting, *scratch, *incoming))
