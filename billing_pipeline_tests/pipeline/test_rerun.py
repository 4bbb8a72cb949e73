"""Running again: what may change, and what may not, when files, inventory or the order of collection do."""

import itertools
import os
from collections.abc import Callable
from decimal import Decimal

import psycopg
import pytest

from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.pipeline.rive import SERVICES, deliver, write_inputs

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
MONTHS = ("2024-01", "2024-02", "2024-03")
# In order is how the place to compare with is made.
ORDERS = [order for order in itertools.permutations(MONTHS) if order != MONTHS]
SUBSET = [("2024-03", "2024-02", "2024-01")]


@pytest.fixture(scope="module")
def delivered(new_place: Callable[[], Place]) -> Place:
    """Three months' files, of which nothing has been collected."""
    place = new_place()
    write_inputs(place)
    for month in MONTHS:
        deliver(place, month)
    return place


@pytest.fixture(scope="module")
def stored(delivered: Place) -> Place:
    """The same after one run of all three months."""
    place = delivered.copy()
    place.run(*MONTHS)
    return place


def _verdict(place: Place, service: str, month: str) -> tuple[str, str | None, Decimal | None]:
    rows = {
        (row["item_id"], row["period"]): (row["status"], row["reason_code"], row["difference"])
        for row in place.stored()["reconciliation_items"]
    }
    return rows[f"service:{service}", month]


def _summary(place: Place, month: str) -> tables.Row:
    (row,) = (row for row in place.stored()["reconciliation_summary"] if row["period"] == month)
    return row


def test_running_a_month_twice_changes_no_row_and_no_file(stored: Place) -> None:
    place = stored.copy()
    before, files = place.stored(), tables.parquet_files(place.folder)
    place.run("2024-01", "2024-02")
    assert tables.changed(before, place.stored()) == {}
    assert tables.parquet_files(place.folder) == files


def test_everything_is_rebuilt_from_what_was_kept_once_the_source_is_gone(stored: Place) -> None:
    place = stored.copy()
    before = place.stored()
    with psycopg.connect(place.url) as connection:
        connection.execute("DROP SCHEMA billing CASCADE")
    for path in (place.folder / "inbox" / "rive").iterdir():
        path.unlink()
    place.run(*MONTHS, options=("--from-raw",))
    after = place.stored()
    differing = [tables.but_for_the_folder(one, place.folder) for one in (before, after)]
    assert tables.changed(*differing) == {}
    assert tables.unlike_in_parquet(place.folder, after) == {}
    assert _first_seen(after) == _first_seen(before)


def _first_seen(found: tables.Stored) -> dict[str, object]:
    """When each charge file was received, which a rebuild must not move."""
    return {row["sha256"]: row["fetched_at"] for row in found["source_documents"] if row["collected_count"] is not None}


def test_a_corrected_file_of_the_same_name_replaces_the_old_one(stored: Place) -> None:
    place = stored.copy()
    assert _verdict(place, "R2", "2024-02") == ("DISCREPANCY", "PRICE_MISMATCH", Decimal("1.00"))
    corrected = [
        ("RI-2", "R1", "30.00", "2024-02"),
        ("RI-2", "R2", "40.00", "2024-02"),
        ("RI-Y", "R3", "50.00", "2024-02"),
    ]
    deliver(place, "2024-02", corrected)
    place.run("2024-02")
    assert _verdict(place, "R2", "2024-02") == ("MATCHED", None, Decimal(0))
    lines = [row for row in place.stored()["invoice_lines"] if row["period"] == "2024-02"]
    assert sorted((row["invoice_id"], row["total_ht"]) for row in lines) == [
        ("RI-2", Decimal(30)), ("RI-2", Decimal(40)), ("RI-Y", Decimal(50)),
    ]  # fmt: skip
    kept = {path.name for path in (place.folder / "data/raw/RIVE/2024-02").glob("*.csv")}
    assert len(kept) == 3, "the old file, the new one and the inventory are all kept"


def test_a_file_that_vanished_does_not_make_services_unbilled(stored: Place) -> None:
    place = stored.copy()
    before = place.stored()
    next((place.folder / "inbox" / "rive").glob("*202402.csv")).unlink()
    ended = place.run("2024-02", code=3)
    assert "R189_RIVE_202402.csv" in ended.out
    assert "--from-raw" in ended.out
    after = place.stored()
    changed = tables.changed(tables.but_for_the_run(before), tables.but_for_the_run(after))
    assert set(changed) <= {"reconciliation_summary", "partition_loads"}
    summary = _summary(place, "2024-02")
    assert summary["state"] == "EVALUATED"
    assert "R189_RIVE_202402.csv" in summary["state_detail"]
    assert "no longer offered" in summary["state_detail"]
    # The remedy it names works, and the remark goes.
    place.run("2024-02", options=("--from-raw",))
    assert tables.changed(tables.but_for_the_run(before), tables.but_for_the_run(place.stored())) == {}


def test_a_file_that_is_suddenly_empty_does_not_make_services_unbilled(stored: Place) -> None:
    place = stored.copy()
    before = place.stored()
    file = next((place.folder / "inbox" / "rive").glob("*202402.csv"))
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])
    ended = place.run("2024-02", code=3)
    assert "answers with nothing" in ended.out
    changed = tables.changed(tables.but_for_the_run(before), tables.but_for_the_run(place.stored()))
    assert set(changed) <= {"reconciliation_summary", "partition_loads"}
    summary = _summary(place, "2024-02")
    assert summary["state"] == "EVALUATED"
    assert "answers with nothing" in summary["state_detail"]


def test_a_new_inventory_alone_changes_verdicts(stored: Place) -> None:
    place = stored.copy()
    place.write("services.csv", SERVICES.replace("EUR,40.00", "EUR,41.00"))
    place.run("2024-02")
    assert _verdict(place, "R2", "2024-02") == ("MATCHED", None, Decimal(0))
    assert _verdict(place, "R2", "2024-01") == ("MATCHED", None, Decimal(0)), "January was not asked for"
    lines = [tables.but_for_the_run({"": one["invoice_lines"]}) for one in (stored.stored(), place.stored())]
    assert tables.changed(*lines) == {}


def test_a_late_file_makes_an_earlier_month_stale_until_it_is_refreshed(stored: Place) -> None:
    """March's second file credits 10.00 of January's R1: 30.00 becomes 20.00."""
    place = stored.copy()
    deliver(place, "2024-03", [("RI-L", "R1", "-10.00", "2024-01")], suffix="_complement")
    ended = place.run("2024-03")
    assert _verdict(place, "R1", "2024-01") == ("MATCHED", None, Decimal(0))
    (stale,) = (line for line in ended.out.splitlines() if "stale" in line)
    assert "RIVE 2024-01" in stale
    assert "2024-02" not in stale
    refreshed = place.run("2024-03", options=("--refresh-stale",))
    assert _verdict(place, "R1", "2024-01")[0] == "DISCREPANCY"
    assert _verdict(place, "R1", "2024-01")[2] == Decimal(-10)
    assert "stale" not in refreshed.out


@pytest.mark.parametrize("order", ORDERS if FULL else SUBSET, ids=" ".join)
def test_the_order_in_which_months_are_collected_makes_no_difference(
    delivered: Place, stored: Place, order: tuple[str, ...]
) -> None:
    place = delivered.copy()
    for month in order:
        place.run(month, options=("--refresh-stale",))
    # What changed on the way is history, and another way has another one.
    told = tables.changed(stored.content(), place.content())
    assert set(told) <= {"reconciliation_history"}, told
    assert tables.unlike_in_parquet(place.folder, place.stored()) == {}
    owners = {row["invoice_id"]: row["period"] for row in place.stored()["invoices"]}
    assert owners == {
        "RI-1": "2024-01", "RI-X": "2024-01", "RI-2": "2024-02", "RI-Y": "2024-02", "RI-3": "2024-03", "RI-Z": "2024-03",
    }  # fmt: skip
