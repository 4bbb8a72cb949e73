"""An analyst's open transaction: it keeps what it saw, blocks nobody by reading, and is named where it does block."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql

from billing_pipeline.errors import StorageError
from billing_pipeline.storage.parquet import ParquetStore
from billing_pipeline.storage.partitions import PartitionStore
from billing_pipeline_tests.faults.conftest import CORRECTED
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.pipeline.rive import deliver, write_inputs

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
NOW = datetime(2024, 4, 6, 4, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def corrected(new_place: Callable[[], Place]) -> Place:
    """January is stored; then its file is corrected."""
    place = new_place()
    write_inputs(place)
    deliver(place, "2024-01")
    place.run("2024-01")
    deliver(place, "2024-01", CORRECTED)
    return place


@pytest.fixture
def place(corrected: Place) -> Place:
    return corrected.copy()


@pytest.fixture
def analyst(place: Place) -> Iterator[psycopg.Connection]:
    """A session as role billing_analyst that names itself, in a transaction of its own."""
    with psycopg.connect(place.url, application_name="a dashboard") as connection:
        connection.execute("SET ROLE billing_analyst")
        connection.commit()
        yield connection


def _seen(connection: psycopg.Connection) -> dict[str, list[str]]:
    names = connection.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'billing' ORDER BY 1"
    ).fetchall()
    return {
        name: sorted(
            str(row) for row in connection.execute(sql.SQL("SELECT * FROM billing.{}").format(sql.Identifier(name)))
        )
        for (name,) in names
    }


def test_a_repeatable_read_keeps_the_old_month_while_it_is_replaced_and_stops_nobody(
    place: Place, analyst: psycopg.Connection
) -> None:
    analyst.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    before = _seen(analyst)
    assert len(before) > 15
    # Idle in transaction now, as a notebook left open is.
    place.run("2024-01")
    assert _seen(analyst) == before
    analyst.commit()
    after = _seen(analyst)
    assert after["invoice_lines"] != before["invoice_lines"]
    assert after["reconciliation_items"] != before["reconciliation_items"]


def test_a_read_committed_transaction_left_open_stops_nobody_and_sees_the_new_month_whole(
    place: Place, analyst: psycopg.Connection
) -> None:
    before = _seen(analyst)
    place.run("2024-01")
    after = _seen(analyst)
    assert after["reconciliation_items"] != before["reconciliation_items"]
    analyst.rollback()


def _impatient(place: Place, parquet: ParquetStore) -> PartitionStore:
    return PartitionStore(place.url, parquet, lock_timeout_s=1)


@pytest.mark.parametrize(
    "lock",
    [
        "LOCK TABLE billing.invoice_lines IN SHARE MODE",
        "LOCK TABLE billing.invoice_lines IN ACCESS EXCLUSIVE MODE",
        "SELECT * FROM billing.invoice_lines FOR UPDATE",
    ],
)
def test_who_holds_a_lock_we_need_is_named_and_nothing_is_replaced(place: Place, lock: str) -> None:
    """As an owner does: an analyst's role may not lock."""
    store = _impatient(place, ParquetStore(place.folder / "data" / "parquet"))
    before = place.stored()
    with psycopg.connect(place.url, application_name="nightly vacuum script") as holder:
        holder.execute(lock.encode())
        with (
            pytest.raises(StorageError) as refused,
            store.replacing("RIVE", run_id="waits", loaded_at=NOW) as work,
        ):
            work.replace("invoice_lines", "2024-01", work.read("invoice_lines", ["2024-01"]).slice(0, 0))
        told = str(refused.value)
        assert f"pid {holder.info.backend_pid}" in told
        assert "nightly vacuum script" in told
        assert "billing.invoice_lines" in told
        assert f"pg_terminate_backend({holder.info.backend_pid})" in told
        assert "\n" not in told
        holder.rollback()
    assert tables.changed(before, place.stored()) == {}
    assert tables.leftovers(place.folder) == []


@pytest.mark.skipif(not FULL, reason="waits for a lock for a minute; BILLING_TEST_SWEEP=full runs it")
def test_a_run_that_meets_a_lock_says_so_in_one_line_and_heals_once_it_is_gone(place: Place) -> None:
    undisturbed = place.copy()
    undisturbed.run("2024-01")
    with psycopg.connect(place.url, application_name="nightly vacuum script") as holder:
        holder.execute("LOCK TABLE billing.invoice_lines IN SHARE MODE")
        ended = place.run("2024-01", code=1)
        (line,) = ended.errors
        assert f"pid {holder.info.backend_pid}" in line
        holder.rollback()
    place.run("2024-01")
    assert tables.changed(undisturbed.content(), place.content()) == {}
