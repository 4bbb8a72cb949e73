"""A disk that runs full in the middle: one line says so, what was stored stays, and the next run makes it whole."""

import os
from collections.abc import Callable

import pytest

from billing_pipeline_tests.faults.conftest import CORRECTED
from billing_pipeline_tests.faults.small_disk import SmallDisk
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.pipeline.program import Ended
from billing_pipeline_tests.pipeline.rive import deliver, write_inputs

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
KIB = 1024
# A run of this month writes some 100 KiB, so it ends for want of space in another place each time.
LEFT = (0, 4 * KIB, 12 * KIB, 24 * KIB, 40 * KIB, 64 * KIB, 96 * KIB, 160 * KIB)
SUBSET = (0, 40 * KIB)
pytestmark = pytest.mark.timeout(900)
NO_SPACE = "No space left on device"


@pytest.fixture(scope="module")
def corrected(new_place: Callable[[], Place]) -> Place:
    """January is stored; then its file is corrected."""
    place = new_place()
    write_inputs(place)
    deliver(place, "2024-01")
    place.run("2024-01")
    deliver(place, "2024-01", CORRECTED)
    return place


@pytest.fixture(scope="module")
def undisturbed(corrected: Place) -> tables.Stored:
    place = corrected.copy()
    place.run("2024-01")
    return place.content()


def _assert_told(ended: Ended) -> None:
    assert ended.code == 1, f"exit code {ended.code}\n{ended.out}\n{ended.err}"
    assert "Traceback" not in ended.out + ended.err
    assert len(ended.errors) == 1, ended.errors
    assert NO_SPACE in ended.err


@pytest.mark.parametrize("left", LEFT if FULL else SUBSET, ids=lambda size: f"{size // KIB} KiB left")
def test_a_full_data_dir_fails_the_run_and_the_next_one_is_whole(
    corrected: Place, undisturbed: tables.Stored, left: int
) -> None:
    place = corrected.copy()
    before = place.content()
    with SmallDisk.mounted(place.folder / "data", 16) as disk:
        disk.fill(left)
        ended = place.command("run", "--period", "2024-01")
        if ended.code != 0:
            _assert_told(ended)
            # Either the old month or, where only the files lag behind the commit, the new one.
            after = place.content()
            lines = ("invoices", "invoice_lines", "line_allocations", "rejected_rows")
            assert any(all(after[name] == whole[name] for name in lines) for whole in (before, undisturbed))
        disk.empty()
        place.run("2024-01")
        assert tables.changed(undisturbed, place.content()) == {}
        assert tables.unlike_in_parquet(place.folder, place.stored()) == {}
        assert tables.leftovers(place.folder) == []
