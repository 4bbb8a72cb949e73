"""kill -9 of the run's worker, the code server, the daemon or PostgreSQL while a month is in some phase; then run again."""

import os

import psutil
import pytest

from billing_pipeline_tests.faults.conftest import PARTITION, Deployment
from billing_pipeline_tests.pipeline import tables

FULL = os.environ.get("BILLING_TEST_SWEEP") == "full"
PHASES = {
    "collecting": "document_without_manifest",
    "loading": "after_the_copy_of_lines",
    "committing": "state_known_before_the_commit",
    "renaming": "committed_without_parquet",
    "reconciling": "reconciled_without_commit",
}
VICTIMS = ("worker", "code", "daemon", "postgres")
# The others wait for restarts and the daemon's 30 s ticks.
SUBSET = [("worker", "loading"), ("code", "loading"), ("postgres", "loading")]
EVERYTHING = [(victim, phase) for victim in VICTIMS for phase in PHASES]
pytestmark = pytest.mark.timeout(900)


def _kill(deployment: Deployment, victim: str, worker: int) -> None:
    if victim == "worker":
        process = psutil.Process(worker)
        process.kill()
        psutil.wait_procs([process], timeout=30)
    elif victim == "postgres":
        deployment.postgres.kill()
    else:
        deployment.containers.kill(victim)


def _bring_back(deployment: Deployment, victim: str) -> None:
    if victim == "postgres":
        deployment.postgres.start()
    elif victim != "worker":
        deployment.start(victim)


@pytest.mark.parametrize(("victim", "phase"), EVERYTHING if FULL else SUBSET)
def test_what_was_killed_comes_back_and_the_month_is_whole_after_the_next_run(
    deployment: Deployment, victim: str, phase: str
) -> None:
    deployment.restore()
    deployment.halt.at(PHASES[phase])
    with deployment.webserver() as webserver:
        killed = webserver.launch(*PARTITION)
        _kill(deployment, victim, deployment.halt.wait())
        deployment.halt.go_on()
        _bring_back(deployment, victim)
        # Its worker is gone, or has lost its database: nobody but the daemon's sensor may be left to say so.
        assert webserver.wait(killed, 300) == ("SUCCESS" if victim == "daemon" else "FAILURE")
        assert webserver.wait(webserver.launch(*PARTITION)) == "SUCCESS", deployment.containers.said("code")
    deployment.wait_until_quiet()
    assert_whole(deployment)


@pytest.mark.skipif(not FULL, reason="pipeline/test_kill.py has two at once; BILLING_TEST_SWEEP=full runs this one too")
def test_two_runs_of_one_month_at_once_both_end_well(deployment: Deployment) -> None:
    deployment.restore()
    with deployment.webserver() as webserver:
        runs = [webserver.launch(*PARTITION) for _ in range(2)]
        assert [webserver.wait(run, 300) for run in runs] == ["SUCCESS", "SUCCESS"]
    deployment.wait_until_quiet()
    assert_whole(deployment)


def assert_whole(deployment: Deployment) -> None:
    """What an undisturbed run stores, and nothing of a dead one: no file, no lock, no run that never ends."""
    assert tables.changed(deployment.undisturbed, deployment.content()) == {}
    assert tables.unlike_in_parquet(deployment.folder, tables.stored(deployment.url)) == {}
    assert tables.leftovers(deployment.folder) == []
    assert deployment.advisory_locks() == 0
    assert deployment.unfinished() == []
