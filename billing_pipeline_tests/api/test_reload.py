"""While months are loaded again, every page is of a whole state, and all pages together are what they were."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from billing_pipeline.storage.parquet import ParquetStore
from billing_pipeline.storage.partitions import PartitionStore
from billing_pipeline_tests.api.results import Size, store
from billing_pipeline_tests.api.serving import LIST, RECONCILIATION, serving

PERIODS = ("2022-01", "2022-02", "2022-03")
TABLES = ("invoices", "invoice_lines", "invoice_reconciliation", "reconciliation_items", "reconciliation_summary")


@contextmanager
def reloading(partitions: PartitionStore) -> Iterator[list[str]]:
    """Replaces OP01's months by their own rows, one after the other, while the block runs; the list grows with each."""
    done: list[str] = []
    over = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while not over.is_set():
                period = PERIODS[len(done) % len(PERIODS)]
                with partitions.replacing("OP01", run_id="again", loaded_at=datetime.now(UTC)) as loading:
                    for name in TABLES:
                        rows = loading.read(name, [period])
                        loading.replace(name, period, rows.select(loading.content_schema(name).names))
                    loading.record(period, "collect", state="COMPLETE")
                done.append(period)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()
    assert errors == []


def test_pages_read_during_reloads_are_whole_and_add_up(
    new_database: Callable[[], str], folder: Path, tmp_path: Path
) -> None:
    url = new_database()
    store(url, Size(operators=2, months=3, invoices=20, lines=5, services=60))
    rounds = 0
    with serving(folder, url) as api:
        whole = api.read(LIST, perPage=500)["invoices"]
        items = api.read(RECONCILIATION, period="2022-02")
        invoice = api.read(f"{LIST}/INV-OP01-2022-02-0003")
        assert len(whole) == 120
        assert len(items["items"]) == 120
        with reloading(PartitionStore(url, ParquetStore(tmp_path / "parquet"))) as done:
            while len(done) < 9 or rounds < 9:
                pages = [api.read(LIST, page=page, perPage=7) for page in range(1, 19)]
                assert [page["pagination"]["total"] for page in pages] == [120] * 18
                assert [entry for page in pages for entry in page["invoices"]] == whole
                assert api.read(RECONCILIATION, period="2022-02") == items
                paged = [api.read(RECONCILIATION, period="2022-02", page=page, perPage=50) for page in (1, 2, 3)]
                assert [item for page in paged for item in page["items"]] == items["items"]
                assert api.read(f"{LIST}/INV-OP01-2022-02-0003") == invoice
                rounds += 1
