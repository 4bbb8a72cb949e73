"""`summary`: prints what a period came to, from the tables."""

from collections.abc import Sequence
from pathlib import Path

from billing_pipeline.config import load_config
from billing_pipeline.errors import UsageError
from billing_pipeline.periods import Period
from billing_pipeline.reports.summary import as_csv, as_json, as_table, summaries
from billing_pipeline.storage.migrate import upgrade
from billing_pipeline.storage.parquet import ParquetStore
from billing_pipeline.storage.partitions import PartitionStore
from billing_pipeline.storage.servers import connect_databases


def summary(path: Path, *, period: str, operators: Sequence[str] | None, style: str) -> int:
    """Print the period's summary as a table, JSON in the hub's shape, or CSV."""
    config = load_config(path)
    try:
        month = Period.parse(period)
    except ValueError as error:
        raise UsageError(f"--period {error}") from None
    codes = [config.operator(code).code for code in dict.fromkeys(operators or [one.code for one in config.operators])]
    databases = connect_databases(config)
    upgrade(databases.billing)
    store = PartitionStore(databases.billing, ParquetStore(config.storage.data_dir / "parquet"))
    rows = summaries(store, [month], codes)
    if style == "json":
        items = [item for code in codes for item in store.read("reconciliation_items", code, [str(month)]).to_pylist()]
        print(as_json(rows, items))
    else:
        print(as_csv(rows) if style == "csv" else as_table(rows), end="" if style == "csv" else "\n")
    return 0
