"""The command line with its embedded server killed under it, and the making of the views killed half-way."""

import os
import signal
from collections.abc import Callable, Iterator

import psutil
import psycopg
import pytest

from billing_pipeline_tests.faults.conftest import CORRECTED
from billing_pipeline_tests.faults.halting import Halt
from billing_pipeline_tests.faults.places import EmbeddedPlace
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.places import Place, folder_for_a_server
from billing_pipeline_tests.pipeline.program import Program
from billing_pipeline_tests.pipeline.rive import FILES, deliver, write_configuration, write_inputs

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
PHASES = {
    "collecting": "document_without_manifest",
    "loading": "after_the_copy_of_lines",
    "committing": "state_known_before_the_commit",
    "renaming": "committed_without_parquet",
    "reconciling": "reconciled_without_commit",
}
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def place(program: Program) -> Iterator[EmbeddedPlace]:
    """January is stored on the embedded server; then its file is corrected."""
    with folder_for_a_server() as above:
        made = EmbeddedPlace(above / "place", program)
        write_configuration(made.folder)
        made.deliver(FILES["2024-01"])
        made.run(code=0)
        made.deliver(CORRECTED)
        yield made


@pytest.fixture(scope="module")
def undisturbed(new_place: Callable[[], Place]) -> tables.Stored:
    place = new_place()
    write_inputs(place)
    deliver(place, "2024-01")
    place.run("2024-01")
    deliver(place, "2024-01", CORRECTED)
    place.run("2024-01")
    return place.content()


@pytest.mark.parametrize("phase", PHASES if FULL else ["loading"])
def test_an_embedded_server_killed_under_a_run_is_told_in_one_line_and_started_by_the_next(
    place: EmbeddedPlace, undisturbed: tables.Stored, phase: str
) -> None:
    halt = Halt(place.folder.parent / "halt")
    halt.at(PHASES[phase])
    running = place.start(halt)
    halt.wait()
    pid_file = place.folder / "data" / "postgres" / "cluster" / "postmaster.pid"
    server = psutil.Process(int(pid_file.read_text().split()[0]))
    server.kill()
    halt.go_on()
    ended = running.wait()
    assert ended.code == 1, f"exit code {ended.code}\n{ended.out}\n{ended.err}"
    assert "Traceback" not in ended.out + ended.err
    assert ended.errors, "it failed and said nothing"
    assert len(ended.errors) <= 2, ended.errors
    place.run(code=0)
    content = place.content()
    for name in ("invoices", "invoice_lines", "line_allocations", "reconciliation_items", "reconciliation_reasons"):
        assert content[name] == undisturbed[name], name
    assert tables.leftovers(place.folder) == []
    assert place.unfinished() == 0


def test_views_whose_making_was_killed_are_made_by_the_next_run(new_place: Callable[[], Place]) -> None:
    place = new_place()
    write_inputs(place)
    deliver(place, "2024-01")
    with psycopg.connect(place.url) as connection:
        connection.execute("DROP SCHEMA IF EXISTS billing_marts CASCADE")
    killed = place.command("run", "--period", "2024-01", point="views_made_without_record")
    assert killed.code == -signal.SIGKILL, f"{killed.out}{killed.err}"
    again = place.run("2024-01")
    assert "views made in schema billing_marts" in again.out
    with psycopg.connect(place.url) as connection:
        row = connection.execute("SELECT count(*) FROM billing_marts.fct_reconciliation_items").fetchone()
    assert row is not None
    assert row[0] > 0
    with psycopg.connect(place.dagster_url) as connection:
        left = connection.execute("SELECT count(*) FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE')").fetchone()
    assert left == (0,)
    assert "marts" in place.run("2024-01").out
