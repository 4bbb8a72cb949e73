"""Several tables replaced side by side: none mixed up, none half there, and a tentative one undone without a trace."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from billing_pipeline.errors import StorageError
from billing_pipeline.schemas.tables import INVOICE_LINES, INVOICES, LINE_ALLOCATIONS, R189_CHARGES
from billing_pipeline.storage import incoming
from billing_pipeline.storage.partitions import PartitionStore
from billing_pipeline.storage.replacement import PartitionWork, Undo

from .rows import rows

LOADED_AT = datetime(2024, 4, 6, 4, 0, tzinfo=UTC)
SIDE_BY_SIDE = (INVOICE_LINES, LINE_ALLOCATIONS, R189_CHARGES)
NAMES = tuple(table.name for table in SIDE_BY_SIDE)


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many groups out of few rows."""
    monkeypatch.setattr(incoming, "_ROWS_PER_GROUP", 7)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def fill(work: PartitionWork, count: int) -> dict[str, int]:
    with work.streaming("2024-03", *NAMES) as stream:
        batches = {table.name: rows(table, count).to_batches(max_chunksize=5) for table in SIDE_BY_SIDE}
        for at in range(len(batches["invoice_lines"])):
            for name in NAMES:
                stream.write(name, batches[name][at])
    work.record("2024-03", "collect", state="complete")
    return stream.rows


def write_an_allocation_twice(store: PartitionStore) -> None:
    twice = rows(LINE_ALLOCATIONS, 1).to_batches()[0]
    with (
        store.replacing("ORANGE", run_id="run", loaded_at=LOADED_AT) as work,
        work.streaming("2024-03", *NAMES) as stream,
    ):
        for batch in rows(INVOICE_LINES, 50).to_batches(max_chunksize=5):
            stream.write("invoice_lines", batch)
            stream.write("line_allocations", twice)


def stop_half_way(store: PartitionStore) -> None:
    with (
        store.replacing("ORANGE", run_id="second", loaded_at=LOADED_AT) as work,
        work.streaming("2024-03", *NAMES) as stream,
    ):
        stream.write("invoice_lines", rows(INVOICE_LINES, 3).to_batches()[0])
        raise ZeroDivisionError


def settle_lines_twice(store: PartitionStore, lines: pa.Table) -> None:
    with (
        store.replacing("ORANGE", run_id="second", loaded_at=LOADED_AT) as work,
        work.streaming("2024-03", "invoice_lines") as stream,
    ):
        stream.write("invoice_lines", pa.concat_batches([*lines.to_batches(), *lines.to_batches()]))
        stream.settle()


@pytest.mark.usefixtures("small_groups")
def test_tables_written_side_by_side_each_hold_their_own_rows(store: PartitionStore) -> None:
    with store.replacing("ORANGE", run_id="run", loaded_at=LOADED_AT) as work:
        assert fill(work, 50) == dict.fromkeys(NAMES, 50)
    for table in SIDE_BY_SIDE:
        content = rows(table, 50)
        kept = store.parquet.read(table).select(content.column_names)
        assert kept.to_pylist() == content.to_pylist()
        if table.in_postgres:
            keys = [(name, "ascending") for name in table.key]
            whole = store.parquet.read(table).sort_by(keys)
            assert store.read(table.name).sort_by(keys).to_pylist() == whole.to_pylist()


@pytest.mark.usefixtures("small_groups")
def test_a_refused_row_is_said_to_be_of_its_own_table(store: PartitionStore) -> None:
    with pytest.raises(StorageError, match=r"^line_allocations ORANGE 2024-03: refused by the database"):
        write_an_allocation_twice(store)
    assert store.read("invoice_lines").num_rows == 0
    assert store.ledger() == []


def test_a_settled_stream_has_whole_files_and_may_still_be_refused(store: PartitionStore) -> None:
    lines = rows(INVOICE_LINES, 20)
    with store.replacing("ORANGE", run_id="first", loaded_at=LOADED_AT) as work:
        with work.streaming("2024-03", "invoice_lines") as stream:
            stream.write("invoice_lines", lines.to_batches()[0])
            stream.settle()
            assert pq.read_metadata(work.staged_path("invoice_lines", "2024-03")).num_rows == 20
        assert stream.rows == {"invoice_lines": 20}
        work.record("2024-03", "collect", state="complete")
    with pytest.raises(StorageError, match=r"^invoice_lines ORANGE 2024-03: refused by the database"):
        settle_lines_twice(store, lines)
    assert set(store.read("invoice_lines")["run_id"].to_pylist()) == {"first"}
    assert not store.parquet.has_staged("ORANGE")


def test_an_error_of_the_caller_ends_the_stream_and_keeps_what_was_there(store: PartitionStore) -> None:
    with store.replacing("ORANGE", run_id="first", loaded_at=LOADED_AT) as work:
        fill(work, 10)
    with pytest.raises(ZeroDivisionError):
        stop_half_way(store)
    assert set(store.read("invoice_lines").column("run_id").to_pylist()) == {"first"}
    assert not store.parquet.has_staged("ORANGE")


def test_what_is_undone_leaves_rows_files_and_ledger_as_they_were(store: PartitionStore) -> None:
    with store.replacing("ORANGE", run_id="first", loaded_at=LOADED_AT) as work:
        fill(work, 10)
        work.replace("invoices", "2024-03", rows(INVOICES, 2))
        work.record("2024-03", "collect")
    before = store.read("invoice_lines"), store.read("invoices"), store.ledger()
    with store.replacing("ORANGE", run_id="second", loaded_at=LOADED_AT) as work:
        with work.tentative():
            fill(work, 20)
            raise Undo
        work.record("2024-03", "collect", attempt_state="incomplete")
    assert (store.read("invoice_lines"), store.read("invoices")) == before[:2]
    (load,) = store.ledger()
    assert (load.contents, load.run_id, load.attempt_state) == (before[2][0].contents, "first", "incomplete")
    assert store.parquet.load_id(R189_CHARGES, "ORANGE", "2024-03") == load.contents["r189_charges"]["load_id"]
    assert store.parquet.rows(R189_CHARGES, "ORANGE", "2024-03") == 10
    assert not store.parquet.has_staged("ORANGE")
    assert store.mend("ORANGE") == []


def test_what_is_not_undone_stands(store: PartitionStore) -> None:
    with store.replacing("ORANGE", run_id="run", loaded_at=LOADED_AT) as work, work.tentative():
        fill(work, 20)
    assert store.read("invoice_lines").num_rows == 20
