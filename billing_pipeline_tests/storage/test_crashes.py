"""kill -9 of a writer and of the server: afterwards either the old partition or the new one, and the next run mends."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from billing_pipeline.errors import StorageError
from billing_pipeline.schemas.tables import BY_NAME
from billing_pipeline.storage import embedded
from billing_pipeline.storage.connections import connect
from billing_pipeline.storage.migrate import upgrade
from billing_pipeline.storage.parquet import ParquetStore
from billing_pipeline.storage.partitions import PartitionStore
from billing_pipeline.storage.servers import create_database

from .dying_writer import LOADED_AT, POINTS, ROWS, TABLES
from .rows import rows

PROGRAM = Path(__file__).with_name("dying_writer.py")
COMMITTED = ("after_commit", "between_renames", "nowhere")


def writer(store: PartitionStore, point: str, run_id: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, PROGRAM, store.url, store.parquet.root, point, run_id], stdout=subprocess.DEVNULL
    )


def first_load(store: PartitionStore) -> None:
    with store.replacing("ORANGE", run_id="first", loaded_at=LOADED_AT) as work:
        for name in TABLES:
            work.replace(name, "2024-03", rows(BY_NAME[name], 10))
        work.record("2024-03", "collect", state="complete")


def assert_whole(store: PartitionStore, run_id: str, count: int) -> None:
    """PostgreSQL, Parquet and the ledger all hold `run_id`'s load, once."""
    (load,) = store.ledger("ORANGE")
    assert load.run_id == run_id
    for name in TABLES:
        kept = store.parquet.read(BY_NAME[name])
        assert (kept.num_rows, set(kept.column("run_id").to_pylist())) == (count, {run_id})
        if BY_NAME[name].in_postgres:
            keys = [(key, "ascending") for key in BY_NAME[name].key]
            assert store.read(name).sort_by(keys).equals(kept.sort_by(keys))
    with store.replacing("ORANGE", run_id="look", loaded_at=LOADED_AT) as work:
        assert work.intact(load)


@pytest.mark.parametrize("point", POINTS)
def test_a_writer_killed_at_any_point_leaves_one_whole_load(store: PartitionStore, point: str) -> None:
    first_load(store)
    killed = writer(store, point, "killed")
    assert killed.wait() == (0 if point == "nowhere" else -signal.SIGKILL)
    # What readers see at once, before anything is mended.
    seen = store.read("invoices")
    assert (seen.num_rows, set(seen.column("run_id").to_pylist())) == (
        (ROWS, {"killed"}) if point in COMMITTED else (10, {"first"})
    )
    assert store.mend("ORANGE") == []
    assert_whole(store, *(("killed", ROWS) if point in COMMITTED else ("first", 10)))
    assert writer(store, "nowhere", "rerun").wait() == 0
    assert_whole(store, "rerun", ROWS)
    assert not any(store.parquet.staging("ORANGE").glob("**/*.parquet"))


@pytest.mark.parametrize("point", ["after_commit", "between_renames"])
def test_the_next_load_of_the_operator_finishes_the_renames(store: PartitionStore, point: str) -> None:
    first_load(store)
    assert writer(store, point, "killed").wait() == -signal.SIGKILL
    with store.replacing("ORANGE", run_id="next", loaded_at=LOADED_AT) as work:
        (load,) = work.loads()
        assert work.intact(load)
    assert_whole(store, "killed", ROWS)


def test_writers_killed_at_random_moments_never_leave_a_mixture(store: PartitionStore) -> None:
    first_load(store)
    chance = random.Random(20240306)
    for round_number in range(4):
        victims = [writer(store, "nowhere", f"round{round_number}-{index}") for index in range(2)]
        time.sleep(0.6 + chance.random() * 0.8)
        for victim in victims:
            victim.kill()
            victim.wait()
        store.mend("ORANGE")
        (load,) = store.ledger("ORANGE")
        assert_whole(store, load.run_id, 10 if load.run_id == "first" else ROWS)


def server_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])


def lose_the_server(store: PartitionStore, data_dir: Path) -> None:
    with store.replacing("ORANGE", run_id="second", loaded_at=LOADED_AT) as work:
        work.replace("invoices", "2024-03", rows(BY_NAME["invoices"], 50))
        work.record("2024-03", "collect", state="complete")
        os.kill(server_pid(data_dir), signal.SIGKILL)
        time.sleep(0.3)


def test_a_killed_server_starts_again_with_what_was_committed(data_dir: Path) -> None:
    server = embedded.start(data_dir)
    try:
        create_database(server.url_for("postgres"), "ours")
        upgrade(server.url_for("ours"))
        store = PartitionStore(server.url_for("ours"), ParquetStore(data_dir / "parquet"))
        first_load(store)
        with pytest.raises(StorageError, match="run again once it is back"):
            lose_the_server(store, data_dir)
        # At once, while the dead server's pid file is there and its pid may still look alive.
        assert embedded.start(data_dir) == server
        assert store.mend("ORANGE") == []
        assert_whole(store, "first", 10)
    finally:
        embedded.stop(data_dir)


def test_the_pid_of_a_dead_server_that_now_belongs_to_another_process_is_no_obstacle(data_dir: Path) -> None:
    server = embedded.start(data_dir)
    pid_file = data_dir / "postgres" / "cluster" / "postmaster.pid"
    os.kill(server_pid(data_dir), signal.SIGKILL)
    lines = pid_file.read_text().splitlines()
    # A process of the server's own user, which PostgreSQL takes for a living server.
    account = embedded.SYSTEM_USER if os.geteuid() == 0 else None
    other = subprocess.Popen(["sleep", "60"], user=account)
    try:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        assert embedded.start(data_dir) == server
        with connect(server.url_for("postgres")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        other.kill()
        other.wait()
        embedded.stop(data_dir)


def test_staging_of_a_load_that_is_under_way_is_left_alone(store: PartitionStore) -> None:
    impatient = PartitionStore(store.url, store.parquet, lock_wait_s=1)
    with store.replacing("ORANGE", run_id="run", loaded_at=LOADED_AT) as work:
        for name in TABLES:
            work.replace(name, "2024-03", rows(BY_NAME[name], 5))
        with pytest.raises(StorageError, match="another run"):
            impatient.mend("ORANGE")
        work.record("2024-03", "collect", state="complete")
    assert_whole(store, "run", 5)


def test_a_connection_lost_before_the_commit_commits_nothing(store: PartitionStore) -> None:
    first_load(store)

    def lose() -> None:
        with store.replacing("ORANGE", run_id="second", loaded_at=LOADED_AT) as work:
            work.replace("invoices", "2024-03", rows(BY_NAME["invoices"], 50))
            work.record("2024-03", "collect", state="complete")
            with connect(store.url, autocommit=True) as killer:
                killer.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
            time.sleep(0.2)

    with pytest.raises(StorageError, match="run again"):
        lose()
    assert_whole(store, "first", 10)
    assert isinstance(store.read("invoices"), pa.Table)
