"""Payments and disputes from their files to the tables: what a changed file moves, and what it leaves alone."""

from collections.abc import Callable

import pytest

from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.pipeline.rive import CONFIGURATION, deliver, write_inputs

WITH_CLAIMS = CONFIGURATION.replace(
    "services: {inventory: ./services.csv}",
    "services: {inventory: ./services.csv, payments: ./payments.csv, disputes: ./disputes.csv}",
)
PAID = "operator_code,invoice_id,paid_on\n"
SENT = "operator_code,period,item_id,sent_on,reference,status,credited_amount\n"
# What belongs to payments and disputes, whatever else is stored.
OWN = ("payments", "disputes", "partition_loads")


@pytest.fixture(scope="module")
def recorded(new_place: Callable[[], Place]) -> Place:
    """January and February collected, with a payment in each of two later months and two disputes about January."""
    place = new_place()
    write_inputs(place)
    place.write("billing.yaml", WITH_CLAIMS)
    place.write("payments.csv", PAID + "RIVE,RI-1,2024-03-05\nRIVE,RI-2,2024-04-05\n")
    place.write(
        "disputes.csv",
        SENT + "RIVE,2024-02,service:R2,2024-04-10,T-1,sent,\nOTHER,2024-02,service:R2,2024-04-10,T-1,sent,\n",
    )
    for month in ("2024-01", "2024-02"):
        deliver(place, month)
    ended = place.run("2024-01", "2024-02")
    assert ended.err.count("warning: ") == 1
    assert "1 rows of OTHER are left out" in ended.err
    return place


def _rows(place: Place, table: str) -> list[tuple[object, ...]]:
    key = {"payments": ("period", "invoice_id"), "disputes": ("period", "item_id", "reference", "status")}[table]
    return sorted(tuple(row[name] for name in key) for row in place.stored()[table])


def test_a_row_lies_in_the_month_it_speaks_of_and_in_parquet_too(recorded: Place) -> None:
    assert _rows(recorded, "payments") == [("2024-03", "RI-1"), ("2024-04", "RI-2")]
    assert _rows(recorded, "disputes") == [("2024-02", "service:R2", "T-1", "sent")]
    assert tables.unlike_in_parquet(recorded.folder, recorded.stored()) == {}


def test_both_files_are_kept_as_they_were_with_where_they_came_from(recorded: Place) -> None:
    (row,) = (row for row in recorded.stored()["payments"] if row["invoice_id"] == "RI-2")
    kept = recorded.folder / "data/raw/RIVE/2024-02" / f"{row['source_sha256']}.csv"
    assert kept.read_text().splitlines()[row["source_row"]] == "RIVE,RI-2,2024-04-05"
    assert '"original_name": "payments.csv"' in kept.with_suffix(".json").read_text()


def test_a_later_version_of_both_files_leaves_no_trace_a_rebuild_would_not(recorded: Place) -> None:
    """They change without a reload of the month: listed as its documents, an old version stayed for ever."""
    named = {row["source_sha256"] for table in ("payments", "disputes") for row in recorded.stored()[table]}
    assert named
    assert not named & {row["sha256"] for row in recorded.stored()["source_documents"]}


def test_running_again_changes_no_row(recorded: Place) -> None:
    place = recorded.copy()
    before, files = place.stored(), tables.parquet_files(place.folder)
    place.run("2024-01")
    assert tables.changed(before, place.stored()) == {}
    assert tables.parquet_files(place.folder) == files


def test_a_changed_file_reaches_every_month_from_a_run_of_any_and_computes_nothing_anew(recorded: Place) -> None:
    place = recorded.copy()
    before = place.stored()
    # A new first row moves the others down the file, which changes nothing about them.
    place.write("payments.csv", PAID + "RIVE,RI-3,2024-05-05\nRIVE,RI-1,2024-03-05\nRIVE,RI-2,2024-04-05\n")
    place.write("disputes.csv", SENT + "RIVE,2024-02,service:R2,2024-04-10,T-1,accepted,1.00\n")
    place.run("2024-01")
    after = place.stored()
    assert set(tables.changed(before, after)) == set(OWN)
    assert _rows(place, "payments") == [("2024-03", "RI-1"), ("2024-04", "RI-2"), ("2024-05", "RI-3")]
    assert _rows(place, "disputes") == [("2024-02", "service:R2", "T-1", "accepted")]
    untouched = [row for row in after["payments"] if row["invoice_id"] != "RI-3"]
    assert untouched == before["payments"]


def test_a_row_taken_out_and_a_file_no_longer_configured_are_gone(recorded: Place) -> None:
    place = recorded.copy()
    place.write("payments.csv", PAID + "RIVE,RI-2,2024-04-05\n")
    place.write("billing.yaml", WITH_CLAIMS.replace(", disputes: ./disputes.csv", ""))
    place.run("2024-02")
    assert _rows(place, "payments") == [("2024-04", "RI-2")]
    assert _rows(place, "disputes") == []
    assert tables.unlike_in_parquet(place.folder, place.stored()) == {}


def test_an_invalid_file_changes_nothing_and_asks_no_operator(recorded: Place) -> None:
    place = recorded.copy()
    before = place.stored()
    place.write("payments.csv", PAID + "RIVE,RI-9,soon\n")
    ended = place.run("2024-01", code=2)
    assert ended.err.startswith("billing-pipeline: ")
    assert "payments.csv: row 1, column paid_on: is not a date" in ended.err
    assert len(ended.errors) == 1
    assert tables.changed(before, place.stored()) == {}


def test_from_raw_brings_them_back_where_every_table_is_lost(recorded: Place, new_place: Callable[[], Place]) -> None:
    place = new_place()
    place.install(recorded.folder)
    place.run("2024-01", "2024-02", options=("--from-raw",))
    kept = {name: rows for name, rows in place.content().items() if name != "partition_loads"}
    wanted = {name: rows for name, rows in recorded.content().items() if name != "partition_loads"}
    assert tables.changed(wanted, kept) == {}


def test_a_payment_is_known_while_the_operators_folder_is_not(recorded: Place) -> None:
    place = recorded.copy()
    (place.folder / "inbox/rive").rename(place.folder / "inbox/elsewhere")
    place.write("payments.csv", PAID + "RIVE,RI-1,2024-03-06\n")
    place.run("2024-01", code=1)
    assert [row["paid_on"].isoformat() for row in place.stored()["payments"]] == ["2024-03-06"]
