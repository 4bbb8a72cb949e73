"""What must never happen to a partition: half of it seen, doubled, lost, or changed on the way."""

import threading
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from billing_pipeline.errors import StorageError
from billing_pipeline.schemas.arrow import field
from billing_pipeline.schemas.columns import Table
from billing_pipeline.schemas.sql import INVOICE_DOCUMENTS
from billing_pipeline.schemas.tables import (
    INVOICE_LINES,
    INVOICES,
    R189_CHARGES,
    RECONCILIATION_ITEMS,
    RECONCILIATION_REASONS,
    RECONCILIATION_SUMMARY,
    REJECTED_ROWS,
    TABLES,
)
from billing_pipeline.storage.connections import connect
from billing_pipeline.storage.partitions import PartitionStore

from .rows import rows

LOADED_AT = datetime(2024, 4, 6, 4, 0, tzinfo=UTC)


def load(store: PartitionStore, table: Table, content: pa.Table, *, period: str = "2024-03", run: str = "run") -> None:
    with store.replacing("ORANGE", run_id=run, loaded_at=LOADED_AT) as work:
        work.replace(table.name, period, content)
        work.record(period, "collect", state="complete")


@pytest.mark.parametrize("table", [*TABLES, INVOICE_DOCUMENTS], ids=lambda table: table.name)
def test_every_kind_of_value_comes_back_as_it_went_in(store: PartitionStore, table: Table) -> None:
    count = 40 if table.key != ("operator_code", "period") else 1
    content = rows(table, count)
    load(store, table, content)
    keys = [(name, "ascending") for name in table.key if name in content.column_names]
    expected = content.sort_by(keys) if keys else content
    if table.in_postgres:
        stored = store.read(table.name, "ORANGE", ["2024-03"])
        assert stored.schema.equals(pa.schema([field(column) for column in table.columns]))
        got = stored.select(content.column_names)
        assert (got.sort_by(keys) if keys else got).to_pylist() == expected.to_pylist()
    if table.in_parquet:
        kept = store.parquet.read(table, ["ORANGE"], ["2024-03"])
        assert kept.select(content.column_names).to_pylist() == content.to_pylist()
        assert set(kept.column("operator_code").to_pylist()) == {"ORANGE"}


def test_postgres_and_parquet_hold_the_same_rows(store: PartitionStore) -> None:
    load(store, REJECTED_ROWS, rows(REJECTED_ROWS, 50))
    kept = store.parquet.read(REJECTED_ROWS).sort_by("source_row")
    assert kept.equals(store.read("rejected_rows").sort_by("source_row"))


def test_a_single_nullable_column_keeps_its_nulls(store: PartitionStore) -> None:
    load(store, INVOICES, rows(INVOICES, 6, total_ht=None))
    assert store.read("invoices", columns=["total_ht"]).column(0).to_pylist() == [None] * 6


def test_a_nul_character_does_not_fail_the_partition(store: PartitionStore) -> None:
    load(store, REJECTED_ROWS, rows(REJECTED_ROWS, 1, raw="a\0b"))
    assert store.read("rejected_rows").column("raw").to_pylist() == ["a\u2400b"]
    assert store.parquet.read(REJECTED_ROWS).column("raw").to_pylist() == ["a\u2400b"]


def test_batches_are_streamed_and_all_arrive(store: PartitionStore) -> None:
    content = rows(INVOICE_LINES, 250_000 // 100)
    batches = (batch for _ in range(1) for batch in content.to_batches(max_chunksize=7))
    with store.replacing("ORANGE", run_id="run", loaded_at=LOADED_AT) as work:
        assert work.replace("invoice_lines", "2024-03", batches) == 2_500
        work.record("2024-03", "collect", state="complete")
    total = pc.sum(store.read("invoice_lines").column("total_ht")).as_py()
    assert total == pc.sum(content.column("total_ht")).as_py()


def test_a_replacement_is_invisible_until_it_is_committed(store: PartitionStore) -> None:
    load(store, INVOICES, rows(INVOICES, 3))
    with connect(store.url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        count = "SELECT count(*), min(run_id) FROM billing.invoices"
        assert reader.execute(count).fetchone() == (3, "run")
        with store.replacing("ORANGE", run_id="second", loaded_at=LOADED_AT) as work:
            work.replace("invoices", "2024-03", rows(INVOICES, 5))
            work.record("2024-03", "collect", state="complete")
            assert store.read("invoices").num_rows == 3
            assert store.parquet.rows(INVOICES, "ORANGE", "2024-03") == 3
            assert work.read("invoices").num_rows == 5
        # The old snapshot neither blocked the writer nor sees none or both.
        assert reader.execute(count).fetchone() == (3, "run")
        reader.rollback()
        assert reader.execute(count).fetchone() == (5, "second")


def test_an_error_leaves_everything_as_it_was(store: PartitionStore) -> None:
    load(store, INVOICES, rows(INVOICES, 3))
    ledger = store.ledger()

    def fail() -> None:
        with store.replacing("ORANGE", run_id="second", loaded_at=LOADED_AT) as work:
            work.replace("invoices", "2024-03", rows(INVOICES, 5))
            work.record("2024-03", "collect", state="complete")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert store.read("invoices").num_rows == store.parquet.rows(INVOICES, "ORANGE", "2024-03") == 3
    assert store.ledger() == ledger
    assert list(store.parquet.staging("ORANGE").iterdir()) == []


def test_two_writers_of_one_partition_do_not_double_its_rows(store: PartitionStore) -> None:
    start = threading.Barrier(4)
    failures = []

    def write(number: int) -> None:
        start.wait()
        try:
            for _ in range(3):
                load(store, INVOICES, rows(INVOICES, 20 + number), run=f"run{number}")
        except StorageError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    stored = store.read("invoices")
    (run,) = set(stored.column("run_id").to_pylist())
    assert stored.num_rows == 20 + int(run.removeprefix("run"))
    assert store.parquet.read(INVOICES).column("run_id").to_pylist() == stored.column("run_id").to_pylist()
    with store.replacing("ORANGE", run_id="check", loaded_at=LOADED_AT) as work:
        assert all(work.intact(one) for one in work.loads())


def test_operators_do_not_wait_for_each_other_and_one_operator_does(store: PartitionStore) -> None:
    impatient = PartitionStore(store.url, store.parquet, lock_wait_s=1)
    with store.replacing("ORANGE", run_id="run", loaded_at=LOADED_AT):
        with impatient.replacing("SFR", run_id="run", loaded_at=LOADED_AT) as work:
            work.replace("invoices", "2024-03", rows(INVOICES, 1))
            work.record("2024-03", "collect", state="complete")
        with (
            pytest.raises(StorageError, match="ORANGE: another run has held its partitions for 1 s"),
            impatient.replacing("ORANGE", run_id="run", loaded_at=LOADED_AT),
        ):
            pytest.fail("entered a partition that another run holds")
    assert store.read("invoices").num_rows == 1


def test_replacing_one_month_leaves_the_others_alone(store: PartitionStore) -> None:
    load(store, INVOICES, rows(INVOICES, 3), period="2024-02", run="february")
    load(store, INVOICES, rows(INVOICES, 4), period="2024-03", run="march")
    load(store, INVOICES, rows(INVOICES, 0), period="2024-03", run="again")
    assert store.read("invoices").column("run_id").to_pylist() == ["february"] * 3
    assert store.parquet.rows(INVOICES, "ORANGE", "2024-03") == 0
    assert {one.period: one.run_id for one in store.ledger("ORANGE")} == {"2024-02": "february", "2024-03": "again"}


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM billing.invoices WHERE invoice_id = (SELECT min(invoice_id) FROM billing.invoices)",
        "UPDATE billing.invoices SET total_ht = total_ht + 0.000001 WHERE total_ht < 0",
        "UPDATE billing.invoices SET total_ttc = 0 WHERE total_ttc IS NULL",
    ],
)
def test_rows_changed_by_hand_are_noticed(store: PartitionStore, damage: str) -> None:
    only_null = {"total_ttc": None} if "total_ttc = 0" in damage else {}
    load(store, INVOICES, rows(INVOICES, 12, **only_null))
    with store.replacing("ORANGE", run_id="x", loaded_at=LOADED_AT) as work:
        (before,) = work.loads()
        assert work.intact(before)
    with connect(store.url, autocommit=True) as hand:
        assert hand.execute(damage).rowcount > 0  # type: ignore[arg-type]
    with store.replacing("ORANGE", run_id="x", loaded_at=LOADED_AT) as work:
        assert not work.intact(before)


@pytest.mark.parametrize("damage", ["remove", "truncate", "older"])
def test_a_parquet_file_that_lags_is_noticed_and_mended(store: PartitionStore, damage: str) -> None:
    load(store, INVOICES, rows(INVOICES, 4), run="first")
    path = store.parquet.path(INVOICES, "ORANGE", "2024-03")
    older = path.read_bytes()
    load(store, INVOICES, rows(INVOICES, 4), run="second")
    match damage:
        case "remove":
            path.unlink()
        case "truncate":
            path.write_bytes(older[: len(older) // 2])
        case "older":
            path.write_bytes(older)
    with store.replacing("ORANGE", run_id="x", loaded_at=LOADED_AT) as work:
        assert not work.intact(work.loads()[0])
    assert store.mend("ORANGE") == []
    assert store.parquet.read(INVOICES).equals(store.read("invoices"))
    with store.replacing("ORANGE", run_id="x", loaded_at=LOADED_AT) as work:
        assert work.intact(work.loads()[0])


def test_what_postgres_does_not_hold_is_reported_and_not_invented(store: PartitionStore) -> None:
    load(store, R189_CHARGES, rows(R189_CHARGES, 4))
    store.parquet.path(R189_CHARGES, "ORANGE", "2024-03").unlink()
    assert store.mend("ORANGE") == [("2024-03", "r189_charges")]
    with pytest.raises(ValueError, match="r189_charges lies in Parquet only"):
        store.read("r189_charges")


def test_altered_rows_are_not_copied_into_a_missing_file(store: PartitionStore) -> None:
    load(store, INVOICES, rows(INVOICES, 4))
    store.parquet.path(INVOICES, "ORANGE", "2024-03").unlink()
    with connect(store.url, autocommit=True) as hand:
        hand.execute("DELETE FROM billing.invoices WHERE total_ht < 0")
    assert store.mend("ORANGE") == [("2024-03", "invoices")]


def test_a_stored_sum_that_differs_from_the_staged_one_is_refused(store: PartitionStore) -> None:
    with connect(store.url, autocommit=True) as hand:
        hand.execute(
            "CREATE FUNCTION public.lose() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.total_ht := NEW.total_ht + 1; RETURN NEW; END $$"
        )
        hand.execute(
            "CREATE TRIGGER lose BEFORE INSERT ON billing.invoices FOR EACH ROW EXECUTE FUNCTION public.lose()"
        )
    with pytest.raises(StorageError, match=r"invoices ORANGE 2024-03: staged 1 rows .* stored 1 rows"):
        load(store, INVOICES, rows(INVOICES, 1, total_ht=Decimal("1")))
    assert store.read("invoices").num_rows == 0


def test_a_refused_row_is_named_without_its_values(store: PartitionStore) -> None:
    twice = pa.concat_tables([rows(INVOICES, 1, invoice_id="SECRET-1")] * 2)
    with pytest.raises(StorageError, match=r"invoices ORANGE 2024-03: .*invoices_pkey") as raised:
        load(store, INVOICES, twice)
    assert "SECRET" not in str(raised.value)
    bad_month = rows(INVOICE_LINES, 1, charge_month="MARCH-24")
    with pytest.raises(StorageError, match=r"invoice_lines ORANGE 2024-03: .*charge_month") as raised:
        load(store, INVOICE_LINES, bad_month)
    assert "MARCH" not in str(raised.value)


def test_a_required_column_without_a_value_is_refused_in_parquet_too(store: PartitionStore) -> None:
    content = rows(R189_CHARGES, 2).set_column(0, "source_sha256", pa.array(["a", None]))
    with pytest.raises(StorageError, match="r189_charges ORANGE 2024-03: required column source_sha256 holds null"):
        load(store, R189_CHARGES, content)


def test_columns_outside_the_registry_are_refused(store: PartitionStore) -> None:
    with pytest.raises(ValueError, match="columns are not the registry's"):
        load(store, INVOICES, rows(INVOICES, 1).append_column("extra", pa.array(["x"])))


def test_a_replaced_table_nobody_recorded_is_not_committed(store: PartitionStore) -> None:
    with (
        pytest.raises(ValueError, match="invoices replaced and not recorded"),
        store.replacing("ORANGE", run_id="run", loaded_at=LOADED_AT) as work,
    ):
        work.replace("invoices", "2024-03", rows(INVOICES, 1))
    assert store.read("invoices").num_rows == 0


@pytest.mark.parametrize("operator", ["orange", "../X", "A|B", "O", "ORANGE; DROP TABLE x"])
def test_an_operator_code_that_is_none_reaches_neither_path_nor_query(store: PartitionStore, operator: str) -> None:
    with (
        pytest.raises(ValueError, match="is not an operator code"),
        store.replacing(operator, run_id="run", loaded_at=LOADED_AT),
    ):
        pytest.fail("entered")


def test_an_attempt_that_loads_nothing_keeps_the_load_and_says_so(store: PartitionStore) -> None:
    load(store, INVOICES, rows(INVOICES, 2), run="first")
    with store.replacing("ORANGE", run_id="second", loaded_at=LOADED_AT) as work:
        work.record("2024-03", "collect", attempt_state="incomplete", attempt_detail="2 of 3 files")
    (one,) = store.ledger()
    assert (one.state, one.run_id, one.attempt_detail) == ("complete", "first", "2 of 3 files")
    with store.replacing("ORANGE", run_id="third", loaded_at=LOADED_AT) as work:
        assert work.intact(one)
        work.replace("invoices", "2024-03", rows(INVOICES, 2))
        work.record(
            "2024-03",
            "collect",
            input_digest="d",
            contributions={"2024-02": "a", "2024-03": "b"},
            files=2,
            rows_read=9,
        )
    (one,) = store.ledger()
    assert (one.state, one.run_id, one.attempt_state, one.input_digest) == ("complete", "third", None, "d")
    assert (one.contributions, one.files, one.rows_read) == ({"2024-02": "a", "2024-03": "b"}, 2, 9)


def test_a_table_belongs_to_the_phase_that_last_wrote_it(store: PartitionStore) -> None:
    with store.replacing("ORANGE", run_id="run", loaded_at=LOADED_AT) as work:
        for count, phase in ((1, "collect"), (2, "reconcile")):
            work.replace("invoices", "2024-03", rows(INVOICES, count))
            work.record("2024-03", phase, state="complete")
    assert {one.phase: list(one.contents) for one in store.ledger()} == {"collect": [], "reconcile": ["invoices"]}


def test_a_failure_is_recorded_once_and_never_over_a_verdict(store: PartitionStore) -> None:
    assert store.record_failure("ORANGE", "2024-03", "source unreachable", "run")
    assert not store.record_failure("ORANGE", "2024-03", "source unreachable", "run2")
    assert store.record_failure("ORANGE", "2024-03", "another reason", "run3")
    summary = store.read("reconciliation_summary").to_pylist()
    assert [(one["state"], one["state_detail"], one["matched"]) for one in summary] == [
        ("NOT_EVALUATED", "another reason", None)
    ]
    assert store.parquet.read(RECONCILIATION_SUMMARY).num_rows == 1
    with store.replacing("ORANGE", run_id="x", loaded_at=LOADED_AT) as work:
        assert work.intact(work.loads()[0])


def test_nan_is_refused_by_every_numeric_column(url: str) -> None:
    with connect(url) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns AS c JOIN information_schema.tables AS t"
            " USING (table_schema, table_name) WHERE table_schema = 'billing' AND data_type = 'numeric'"
            " AND table_type = 'BASE TABLE'"
        ).fetchall()
        checked = connection.execute(
            "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c'"
        ).fetchall()
        assert len(columns) > 30
        for table, column in columns:
            assert any(name == f"billing.{table}" and f"({column} <> 'NaN'" in text for name, text in checked), column
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(
                "INSERT INTO billing.reconciliation_reasons VALUES ('ORANGE', '2024-03', 'i', 'r', 'NaN', '', '', now())"
            )


def test_a_list_of_lines_survives_every_separator(store: PartitionStore) -> None:
    content = rows(RECONCILIATION_ITEMS, 1, invoice_line_ids=["a:1", 'b"c:2', "d\\e,{f}:3", ""])
    load(store, RECONCILIATION_ITEMS, content)
    with connect(store.url) as connection:
        row = connection.execute("SELECT invoice_line_ids FROM billing.reconciliation_items").fetchone()
    assert row == (["a:1", 'b"c:2', "d\\e,{f}:3", ""],)


def test_an_old_database_is_told_to_upgrade(empty_url: str, store: PartitionStore) -> None:
    with connect(store.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA billing CASCADE")
    with pytest.raises(StorageError, match="billing-pipeline db upgrade"):
        store.ledger()


def test_reasons_are_read_by_period_and_column(store: PartitionStore) -> None:
    for period in ("2024-01", "2024-02", "2024-03"):
        load(store, RECONCILIATION_REASONS, rows(RECONCILIATION_REASONS, 2), period=period)
    read = store.read("reconciliation_reasons", "ORANGE", ["2024-01", "2024-03"], ["period", "amount"])
    assert read.column_names == ["period", "amount"]
    assert read.column("period").to_pylist() == ["2024-01"] * 2 + ["2024-03"] * 2
    assert store.read("reconciliation_reasons", "ORANGE", []).num_rows == 0
    assert store.read("reconciliation_reasons", "SFR").num_rows == 0
