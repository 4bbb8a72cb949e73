"""The engine that computes set work, by the configuration: DuckDB in this process, or Spark (spark.py)."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from ibis.expr.types import Table

from billing_pipeline.config import BillingConfig
from billing_pipeline.errors import EngineError, IdentityViolation

# Larger intermediate results spill to the scratch folder.
DUCKDB_MEMORY = "1GB"
# Past 16 MB written, DuckDB 2 checkpoints a database in memory too: it compressed temporary tables that are read once or
# twice, 0.4 s of processor time in reconciling a million services.
NO_CHECKPOINT = "1TB"
# Names and keys are different in nearly every row: looking for repetitions in them took a fifth of writing the items,
# and the files came out no smaller.
PARQUET_OPTIONS = {"dictionary_size_limit": 1000}
_SHOWN_VIOLATIONS = 3


@contextmanager
def engine(config: BillingConfig, scratch: Path) -> Iterator[Any]:
    """An Ibis backend for the duration of a step; what it holds outside its own memory lies under `scratch`."""
    if config.engine == "spark":
        from billing_pipeline.steps.spark import spark_engine  # costs seconds, and only exists with the extra

        with spark_engine(config, scratch) as backend:
            yield backend
        return
    # Never disconnected by hand: Ibis drops its cached tables when they are collected, which a closed connection refuses
    # noisily; the connection itself goes with the last of them.
    backend = duckdb_backend(scratch / "spill")
    from duckdb import Error

    try:
        yield backend
    except Error as error:
        said = str(error).strip().partition("\n")[0]
        raise EngineError(
            f"engine duckdb: {said}; nothing was replaced. If there is room under {scratch.parent} and it comes again, "
            "it is a defect to report"
        ) from error


def duckdb_backend(spill: Path) -> Any:
    """DuckDB in this process; results larger than its memory lie under `spill` for as long as they are needed."""
    from billing_pipeline.steps.duckdb_engine import DuckDB  # half a second that checking a configuration does not need

    return DuckDB().connect(
        temp_directory=str(spill),
        memory_limit=DUCKDB_MEMORY,
        checkpoint_threshold=NO_CHECKPOINT,
        # Who needs an order asks for it; keeping the files' took a fifth of writing the items.
        preserve_insertion_order=False,
    )


def stream(rows: Table, schema: pa.Schema, scratch: Path) -> Iterator[pa.RecordBatch]:
    """The rows under `schema`, in their order, through a Parquet file: memory stays that of a batch on any engine."""
    path = scratch / f"{uuid.uuid4().hex}.parquet"
    rows.select(schema.names).to_parquet(path, **PARQUET_OPTIONS)
    try:
        yield from batches(path, schema)
    finally:
        if path.is_dir():
            rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def batches(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of a result under `schema`, whatever columns its files have besides, in their order."""
    for file in result_files(path):
        for batch in pq.ParquetFile(file).iter_batches(columns=schema.names):
            yield pa.RecordBatch.from_arrays(
                [batch.column(name).cast(schema.field(name).type) for name in schema.names], schema=schema
            )


def result_files(path: Path) -> list[Path]:
    """The Parquet files of a result, in the order of its rows: DuckDB writes one, Spark a folder of them."""
    return sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]


def require_none(violations: Table, where: str) -> None:
    """IdentityViolation, naming the first few, unless there are none: books that do not balance are not published."""
    found = violations.order_by("identity", "subject").limit(_SHOWN_VIOLATIONS).to_pyarrow().to_pylist()
    if found:
        shown = "; ".join(
            f"identity {row['identity']}, {row['subject']}: expected {row['expected']}, found {row['actual']}"
            for row in found
        )
        raise IdentityViolation(f"{where}: {shown}; nothing was replaced, and this is a defect to report")
