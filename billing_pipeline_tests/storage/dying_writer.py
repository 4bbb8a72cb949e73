"""A load that kills itself with SIGKILL at a named point: run as a program by test_crashes.py."""

import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from billing_pipeline.schemas.columns import Table
from billing_pipeline.schemas.tables import BY_NAME
from billing_pipeline.storage.parquet import ParquetStore
from billing_pipeline.storage.partitions import PartitionStore

sys.path.insert(0, str(Path(__file__).parents[1]))
from storage.rows import rows

LOADED_AT = datetime(2024, 4, 6, 4, 0, tzinfo=UTC)
TABLES = ("invoices", "invoice_lines", "r189_charges")
POINTS = ("before_copy", "during_copy", "after_copy", "before_commit", "after_commit", "between_renames", "nowhere")
ROWS = 600


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingParquetStore(ParquetStore):
    """Dies when the `count`-th file is about to be published."""

    def __init__(self, root: Path, count: int) -> None:
        super().__init__(root)
        self._count = count

    def publish(self, table: Table, operator: str, period: str, load_id: str) -> None:
        if self._count == 0:
            die()
        self._count -= 1
        super().publish(table, operator, period, load_id)


def batches(table: Table, point: str) -> Iterator[pa.RecordBatch]:
    content = rows(table, ROWS)
    yield from content.slice(0, ROWS // 2).to_batches()
    if point == "during_copy" and table.name == "invoice_lines":
        die()
    yield from content.slice(ROWS // 2).to_batches()


def main(url: str, root: Path, point: str, run_id: str) -> None:
    count = {"after_commit": 0, "between_renames": 1}.get(point, -1)
    store = PartitionStore(url, DyingParquetStore(root, count))
    with store.replacing("ORANGE", run_id=run_id, loaded_at=LOADED_AT) as work:
        if point == "before_copy":
            die()
        for name in TABLES:
            work.replace(name, "2024-03", batches(BY_NAME[name], point))
            if point == "after_copy":
                die()
        work.record("2024-03", "collect", state="complete")
        if point == "before_commit":
            die()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4])
