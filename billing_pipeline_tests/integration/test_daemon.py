"""Dagster's own scheduler and sensor daemon on our code location, in a server process of its own: away, back, restarted."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_representation.external import RemoteRepository
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

from billing_pipeline.defs.instance import DAGSTER_YAML
from billing_pipeline.periods import PARIS, Period
from billing_pipeline.steps.deliveries import MIN_AGE_S
from billing_pipeline_tests.integration.located import instance_of
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.pipeline.rive import deliver, write_inputs

# A code server loads everything anew, dbt's project included: seconds each, a minute where other tests run beside.
pytestmark = pytest.mark.timeout(900)
LOG = logging.getLogger(__name__)
# Two operators, of whom one has nothing yet.
SECOND = "  - {code: AUTRE, name: Autre, source: {type: r189_files, folder: ./inbox/autre}}\n"
# No code server outlives its test, nor is given up while others use the machine.
WAITING = "code_servers: {local_startup_timeout: 300, wait_for_local_processes_on_shutdown: true}\n"


@pytest.fixture
def place(new_place: Callable[[], Place]) -> Place:
    place = new_place()
    write_inputs(place)
    (place.folder / "inbox" / "autre").mkdir()
    place.write("billing.yaml", (place.folder / "billing.yaml").read_text() + SECOND)
    place.write("data/dagster/dagster.yaml", DAGSTER_YAML + WAITING)
    return place


@contextmanager
def daemon_of(instance: dg.DagsterInstance) -> Iterator[tuple[WorkspaceProcessContext, RemoteRepository]]:
    """A daemon that has just been started, with a code server of its own."""
    target = ModuleTarget("billing_pipeline.definitions", None, None, "billing_pipeline")
    with create_test_daemon_workspace_context(target, instance) as daemon:
        (entry,) = daemon.create_request_context().get_code_location_entries().values()
        assert entry.code_location, entry.load_error
        (repository,) = entry.code_location.get_repositories().values()
        yield daemon, repository


def _asked(instance: dg.DagsterInstance) -> Counter[str]:
    """Partition → runs that a schedule or sensor has asked for."""
    return Counter(run.tags["dagster/partition"] for run in _automatic(instance))


def _automatic(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    return [run for run in instance.get_runs() if "dagster/run_key" in run.tags]


def _ticked(daemon: WorkspaceProcessContext, at: datetime) -> None:
    faults = [fault for fault in launch_scheduled_runs(daemon, LOG, at.astimezone(UTC), {}) if fault]
    assert faults == []


def test_a_daemon_that_was_away_runs_every_month_it_missed_exactly_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(PARIS)
    this = Period.of(now.date())
    first = this if now.day < 6 else this.shift(1)
    tick = datetime(first.year, first.month, 6, 6, 0, tzinfo=PARIS)
    later = first.shift(2)
    long_after = datetime(later.year, later.month, 20, tzinfo=PARIS)
    with instance_of(place, monkeypatch) as (_, instance):
        with daemon_of(instance) as (daemon, repository):
            instance.start_schedule(repository.get_schedule("monthly_billing_schedule"))
            _ticked(daemon, tick - timedelta(minutes=1))
            assert _asked(instance) == {}
        # Down over the tick, back two days later.
        with daemon_of(instance) as (daemon, _):
            _ticked(daemon, tick + timedelta(days=2))
            _ticked(daemon, tick + timedelta(days=2, hours=1))
            month = first.shift(-1)
            assert _asked(instance) == {f"RIVE|{month}": 1, f"AUTRE|{month}": 1}
            # Away over two more ticks, of which Dagster evaluates the last alone.
            _ticked(daemon, long_after)
            _ticked(daemon, long_after + timedelta(hours=1))
        assert _asked(instance) == {
            f"{code}|{period}": 1 for code in ("RIVE", "AUTRE") for period in first.shift(-1).through(later.shift(-1))
        }


def test_a_file_that_landed_starts_its_month_once_though_the_daemon_is_restarted_in_between(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(place, "2024-01")
    landed = time.time()

    def tick(daemon: WorkspaceProcessContext, minutes: int) -> None:
        # The clock of the daemon alone, which waits a minute between two evaluations; the code server's goes on.
        with freeze_time(datetime.fromtimestamp(landed, UTC) + timedelta(minutes=minutes)):
            assert [fault for fault in execute_sensor_iteration(daemon, LOG, None, None) if fault] == []

    with instance_of(place, monkeypatch) as (_, instance):
        with daemon_of(instance) as (daemon, repository):
            for sensor in repository.get_sensors():
                if sensor.name != "delivered_files":
                    instance.stop_sensor(sensor.get_remote_origin_id(), sensor.selector_id, sensor)
            instance.start_sensor(repository.get_sensor("delivered_files"))
            tick(daemon, 2)
            assert _asked(instance) == {}
        time.sleep(max(0.0, landed + MIN_AGE_S + 1 - time.time()))
        with daemon_of(instance) as (daemon, _):
            tick(daemon, 4)
            assert _asked(instance) == {"RIVE|2024-01": 1}
            tick(daemon, 6)
            tick(daemon, 8)
        assert _asked(instance) == {"RIVE|2024-01": 1}
        (run,) = _automatic(instance)
        assert run.status is dg.DagsterRunStatus.QUEUED
        assert run.tags["dagster/partition/operator"] == "RIVE"
        assert Path(run.tags["billing_pipeline/files"]).suffix == ".csv"
