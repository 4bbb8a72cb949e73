"""A run killed anywhere, and run again, ends where an undisturbed one does; so do two runs at once."""

import os
import signal
from collections.abc import Callable

import psycopg
import pytest

from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.dying import POINTS
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.pipeline.rive import deliver, write_inputs

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
# One before the load, one inside it, one between commit and files, one inside the verdicts.
SUBSET = ("document_without_manifest", "after_the_copy_of_lines", "between_two_renames", "reconciled_without_commit")
MONTHS = ("2024-01", "2024-02")
CORRECTED = [("RI-1", "R1", "31.00", "2024-01"), ("RI-1", "R2", "40.00", "2024-01"), ("RI-W", "R3", "50.00", "2024-01")]


def _assert_same(place: Place, undisturbed: Place) -> None:
    """`place` holds what `undisturbed` does, and nothing of a dead run."""
    assert tables.changed(undisturbed.content(), place.content()) == {}
    assert tables.unlike_in_parquet(place.folder, place.stored()) == {}
    assert tables.leftovers(place.folder) == []
    assert _unfinished(place) == 0


def _unfinished(place: Place) -> int:
    with psycopg.connect(place.dagster_url) as connection:
        row = connection.execute("SELECT count(*) FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE')").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture(scope="module")
def before(new_place: Callable[[], Place]) -> Place:
    """January and February are stored; then January's file is corrected: RI-X, which it gives up, becomes February's."""
    place = new_place()
    write_inputs(place)
    for month in MONTHS:
        deliver(place, month)
    place.run(*MONTHS)
    deliver(place, "2024-01", CORRECTED)
    return place


@pytest.fixture(scope="module")
def undisturbed(before: Place) -> Place:
    place = before.copy()
    place.run(*MONTHS)
    assert tables.changed(before.content(), place.content()) != {}
    return place


@pytest.fixture(scope="module")
def from_nothing(new_place: Callable[[], Place]) -> tuple[Place, Place]:
    """A place with a file nobody has collected, and the same after an undisturbed run."""
    fresh = new_place()
    write_inputs(fresh)
    deliver(fresh, "2024-01")
    done = fresh.copy()
    done.run("2024-01")
    return fresh, done


def _kill(place: Place, point: str, *months: str) -> None:
    killed = place.command("run", *(word for month in months for word in ("--period", month)), point=point)
    assert killed.code == -signal.SIGKILL, f"never came to {point}: {killed.out}{killed.err}"


@pytest.mark.parametrize("point", POINTS if FULL else SUBSET)
def test_a_correction_whose_run_is_killed_is_whole_after_the_next(
    before: Place, undisturbed: Place, point: str
) -> None:
    place = before.copy()
    _kill(place, point, *MONTHS)
    place.run(*MONTHS)
    _assert_same(place, undisturbed)


@pytest.mark.parametrize("point", POINTS if FULL else ("committed_without_parquet",))
def test_a_first_run_that_is_killed_is_whole_after_the_next(from_nothing: tuple[Place, Place], point: str) -> None:
    fresh, done = from_nothing
    place = fresh.copy()
    _kill(place, point, "2024-01")
    place.run("2024-01")
    _assert_same(place, done)


def test_readers_see_the_old_month_whole_after_a_kill(before: Place) -> None:
    """The lines were copied and not committed: what is read until the next run is the month as it was."""
    place = before.copy()
    _kill(place, "after_the_copy_of_lines", *MONTHS)
    assert tables.changed(before.content(), place.content()) == {}
    assert tables.unlike_in_parquet(place.folder, place.stored()) == {}


def test_a_killed_run_is_told_as_failed_by_the_next(before: Place) -> None:
    place = before.copy()
    _kill(place, "manifest_without_load", "2024-01")
    assert _unfinished(place) == 1
    place.run("2024-02")
    assert _unfinished(place) == 0


def test_two_runs_of_the_same_months_at_once_both_end_well(before: Place, undisturbed: Place) -> None:
    place = before.copy()
    words = ["run", *(word for month in MONTHS for word in ("--period", month))]
    ended = [started.wait() for started in [place.start(*words), place.start(*words)]]
    assert [(one.code, one.errors) for one in ended] == [(0, []), (0, [])]
    _assert_same(place, undisturbed)
