"""Running unattended: what starts months, what tries again, and who is told, through Dagster's own evaluation."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.tags import TagConcurrencyLimitsCounter

from billing_pipeline.alerts.alert import Kind
from billing_pipeline.alerts.outbox import Outbox
from billing_pipeline.defs.columns import LINEAGE
from billing_pipeline.defs.launch import ABANDONED_TAG, COMMAND_TAG
from billing_pipeline.defs.resources import BillingResource
from billing_pipeline.schemas.tables import BY_NAME
from billing_pipeline.steps import deliveries
from billing_pipeline_tests.alerts.post_office import Receiver
from billing_pipeline_tests.integration.located import launch, opened
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.pipeline.rive import deliver, write_inputs

PARIS = ZoneInfo("Europe/Paris")
# AUTRE's folder is missing, NETWO's server too: what a person mends, and what time does.
MORE = """\
  - {code: AUTRE, name: Autre, source: {type: r189_files, folder: ./inbox/autre}}
  - code: LOIN
    name: Loin
    source: {type: netwo, base_url: "http://127.0.0.1:9", api_key_env: LOIN_KEY, http: {attempts: 1}}
alerts: {webhook: {url_env: ALERT_URL}}
freshness_day: 1
"""
SECRETS = {"LOIN_KEY": "hunter2"}


@pytest.fixture(scope="module")
def pristine(new_place: Callable[[], Place]) -> Place:
    place = new_place()
    write_inputs(place)
    place.write("billing.yaml", (place.folder / "billing.yaml").read_text() + MORE)
    deliver(place, "2024-01")
    return place


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().open() as opened_receiver:
        yield opened_receiver


@pytest.fixture
def place(pristine: Place, receiver: Receiver) -> Place:
    place = pristine.copy()
    place.secrets.update({**SECRETS, "ALERT_URL": receiver.url})
    return place


def told(receiver: Receiver) -> list[tuple[str, str]]:
    """(kind, what it is about) of every alert that has arrived; those about today's month left out."""
    alerts = [alert for _, content in receiver.posts for alert in json.loads(content)["alerts"]]
    return [(one["kind"], f"{one['operator']} {one['period']}") for one in alerts if one["kind"] != "late"]


def test_a_run_that_fails_and_one_that_is_incomplete_are_told_once_and_forgotten_when_mended(
    place: Place, receiver: Receiver
) -> None:
    both = ("--operator", "RIVE", "--operator", "AUTRE")
    for _ in range(2):
        place.run("2024-02", options=both, code=1)
    assert sorted(told(receiver)) == [("failed", "AUTRE 2024-02"), ("incomplete", "RIVE 2024-02")]
    content = b"".join(content for _, content in receiver.posts).decode()
    assert "inbox/autre" in content
    assert "hunter2" not in content
    receiver.posts.clear()
    (place.folder / "inbox" / "autre").mkdir()
    deliver(place, "2024-02")
    place.run("2024-02", options=both, code=3)  # AUTRE's folder is there, its file is not
    assert told(receiver) == [("incomplete", "AUTRE 2024-02")]
    standing = [raised.alert for raised in Outbox(place.folder / "data" / "alerts").raised()]
    assert {alert.kind for alert in standing} == {Kind.INCOMPLETE, Kind.LATE}


def test_a_receiver_that_is_away_changes_no_exit_code_and_hears_of_it_later(place: Place, receiver: Receiver) -> None:
    receiver.status = 500
    ended = place.run("2024-02", options=("--operator", "RIVE"), code=3)
    (warning,) = [line for line in ended.errors if line.startswith("warning: alerts")]
    assert "the URL in ALERT_URL answers HTTP 500" in warning
    assert receiver.url not in ended.err + ended.out
    receiver.status, tried = 200, len(receiver.posts)
    place.run("2024-01", options=("--operator", "RIVE"))
    assert ("incomplete", "RIVE 2024-02") in told(receiver)[tried:]


def test_a_run_that_cannot_start_is_told(place: Place, receiver: Receiver) -> None:
    place.write("services.csv", "service_id\n")
    place.run("2024-01", options=("--operator", "RIVE"), code=2)
    ((_, content),) = receiver.posts
    assert "run ended early" in json.loads(content)["alerts"][0]["text"]
    assert "services.csv" in json.loads(content)["alerts"][0]["text"]


def _failure_sensor(definitions: dg.Definitions, instance: dg.DagsterInstance, run_id: str, place: Place) -> Any:
    """What sensor alerts_on_failure answers to a run's failure, evaluated as the daemon does."""
    run = instance.get_run_by_id(run_id)
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.PIPELINE_FAILURE).records
    assert run is not None
    context = dg.build_run_status_sensor_context(
        sensor_name="alerts_on_failure",
        dagster_event=records[0].event_log_entry.dagster_event,  # type: ignore[arg-type]
        dagster_instance=instance,
        dagster_run=run,
        resources={"billing": BillingResource(config_path=str(place.folder / "billing.yaml"))},
    ).for_run_failure()
    return definitions.resolve_sensor_def("alerts_on_failure")(context)  # type: ignore[operator]


def _evaluate(
    place: Place, definitions: dg.Definitions, instance: dg.DagsterInstance, name: str, cursor: str | None = None
) -> Any:
    resources = {"billing": BillingResource(config_path=str(place.folder / "billing.yaml"))}
    context = dg.build_sensor_context(instance, definitions=definitions, cursor=cursor, resources=resources)
    return definitions.resolve_sensor_def(name).evaluate_tick(context)


def test_the_daemon_tells_of_its_own_runs_and_leaves_the_commands_to_the_command(
    place: Place, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(place, monkeypatch) as (definitions, instance):
        commands = launch(definitions, instance, "AUTRE", "2024-01", tags={COMMAND_TAG: "run"})
        assert "command line" in _failure_sensor(definitions, instance, commands.run_id, place).skip_message
        incomplete = launch(definitions, instance, "RIVE", "2024-02")
        assert "incomplete" in _failure_sensor(definitions, instance, incomplete.run_id, place).skip_message
        assert receiver.posts == []
        for _ in range(2):
            failing = launch(definitions, instance, "AUTRE", "2024-01")
            assert _failure_sensor(definitions, instance, failing.run_id, place) is None
        assert told(receiver) == [("failed", "AUTRE 2024-01")]
        # The conditions are told by the other sensor, once, and a success makes the failure's next one news again.
        for _ in range(2):
            assert (
                "all of them are sent" in _evaluate(place, definitions, instance, "alerts_on_conditions").skip_message
            )
        assert told(receiver)[1:] == [("incomplete", "RIVE 2024-02")]
        (place.folder / "inbox" / "autre").mkdir()
        deliver(place, "2024-01")
        (place.folder / "inbox" / "rive" / "R189_RIVE_202401.csv").rename(
            place.folder / "inbox" / "autre" / "R189_AUTRE_202401.csv"
        )
        assert launch(definitions, instance, "AUTRE", "2024-01").success
        _evaluate(place, definitions, instance, "alerts_on_conditions")
        (place.folder / "inbox" / "autre" / "R189_AUTRE_202401.csv").unlink()
        (place.folder / "inbox" / "autre").rmdir()
        again = launch(definitions, instance, "AUTRE", "2024-01")
        _failure_sensor(definitions, instance, again.run_id, place)
    assert told(receiver)[2:] == [("failed", "AUTRE 2024-01")]


def test_a_failure_that_was_mended_before_it_was_told_is_news_again_when_it_comes_back(
    place: Place, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of customers' invoices, whose partition is a month of no operator's."""

    @dg.op
    def nothing() -> None:
        pass

    @dg.job
    def mended() -> None:
        nothing()

    with opened(place, monkeypatch) as (definitions, instance):
        rebilling = definitions.resolve_job_def("rebilling")

        def fail() -> str:
            result = rebilling.execute_in_process(instance=instance, partition_key="2024-02", raise_on_error=False)
            assert not result.success
            return result.run_id

        first = fail()
        assert mended.execute_in_process(instance=instance, tags={"dagster/partition": "2024-02"}).success
        _failure_sensor(definitions, instance, first, place)
        _evaluate(place, definitions, instance, "alerts_on_conditions")
        _failure_sensor(definitions, instance, fail(), place)
    assert told(receiver) == [("failed", "None 2024-02")] * 2
    assert b"customer invoices 2024-02: " in receiver.posts[0][1]


def test_a_command_whose_process_died_is_told_by_the_daemon(
    place: Place, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(place, monkeypatch) as (definitions, instance):
        dead = launch(
            definitions, instance, "AUTRE", "2024-01", tags={COMMAND_TAG: "run", ABANDONED_TAG: "true"}
        )  # fmt: skip
        assert _failure_sensor(definitions, instance, dead.run_id, place) is None
    assert told(receiver) == [("failed", "AUTRE 2024-01")]


def test_a_network_fault_is_tried_again_by_the_daemon_and_nothing_else_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickly = {"config_path": str(place.folder / "billing.yaml"), "retry_wait_s": 0.01}
    retried = {}
    with opened(place, monkeypatch) as (definitions, instance):
        for name, operator, tags in (
            ("network", "LOIN", {}),
            ("command", "LOIN", {COMMAND_TAG: "run"}),
            ("folder", "AUTRE", {}),
        ):
            result = launch(definitions, instance, operator, "2024-01", resources=quickly, tags=tags)
            assert not result.success
            retried[name] = sum(event.is_step_up_for_retry for event in result.all_events)
            (failure,) = [event for event in result.all_events if event.is_step_failure]
            assert "\n" not in failure.step_failure_data.user_failure_data.description
    assert retried == {"network": 2, "command": 0, "folder": 0}


def test_a_backfill_from_the_graph_runs_in_the_one_process_its_run_names(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process per step would be gone between two steps, and the run marked as abandoned."""
    with opened(place, monkeypatch) as (definitions, _):
        assert definitions.resolve_implicit_global_asset_job_def().executor_def is dg.in_process_executor


def test_a_months_open_gate_does_not_hide_another_months_closed_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(place, monkeypatch) as (definitions, instance):
        for period in ("2024-02", "2024-01"):  # January's file is there, February's is not
            launch(definitions, instance, "RIVE", period)
        key = dg.AssetCheckKey(dg.AssetKey("invoice_lines"), "collection_is_complete")
        history = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
        # A new place's records keep those of the run that made its databases, of another operator.
        passed = {one.partition: one.status.value for one in history if (one.partition or "").startswith("RIVE|")}
    assert passed == {"RIVE|2024-01": "SUCCEEDED", "RIVE|2024-02": "FAILED"}


def test_one_run_per_operator_and_several_operators_side_by_side(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(place, monkeypatch) as (_, instance):
        limits = instance.get_concurrency_config().run_queue_config.tag_concurrency_limits  # type: ignore[union-attr]
        assert instance.run_retries_enabled
        assert not instance.run_retries_retry_on_asset_or_op_failure

        def run_of(operator: str, period: str) -> dg.DagsterRun:
            key = dg.MultiPartitionKey({"operator": operator, "period": period})
            tags = {f"dagster/partition/{name}": value for name, value in key.keys_by_dimension.items()}
            return dg.DagsterRun(job_name="monthly_billing", tags=tags)

        counter = TagConcurrencyLimitsCounter(limits, [run_of("RIVE", "2024-01")])
        assert counter.is_blocked(run_of("RIVE", "2024-02"))
        assert not counter.is_blocked(run_of("AUTRE", "2024-01"))


def test_a_dropped_file_asks_for_its_partition_and_the_cursor_is_all_it_remembers(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MIN_AGE_S", 0.0)
    deliver(place, "2024-03")
    with opened(place, monkeypatch) as (definitions, instance):
        first = _evaluate(place, definitions, instance, "delivered_files")
        assert first.run_requests == []
        assert "AUTRE" in first.skip_message  # whose folder is not there
        second = _evaluate(place, definitions, instance, "delivered_files", first.cursor)
        assert [str(one.partition_key) for one in second.run_requests] == ["RIVE|2024-01", "RIVE|2024-03"]
        assert {one.tags["dagster/partition/operator"] for one in second.run_requests} == {"RIVE"}
        again = _evaluate(place, definitions, instance, "delivered_files", first.cursor)
        assert [one.run_key for one in again.run_requests] == [one.run_key for one in second.run_requests]
        third = _evaluate(place, definitions, instance, "delivered_files", second.cursor)
    assert third.run_requests == []


def test_a_month_without_verdicts_is_late_until_it_has_some(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(place, monkeypatch) as (definitions, instance):
        first = _evaluate(place, definitions, instance, "late_months")
        (evaluation,) = first.asset_events
        assert (evaluation.check_name, evaluation.passed) == ("evaluated_in_time", False)
        assert "RIVE, AUTRE, LOIN" in str(evaluation.metadata["without verdicts"].value)
        again = _evaluate(place, definitions, instance, "late_months", first.cursor)
        assert again.asset_events == []
        instance.report_runless_asset_event(evaluation)
        key = dg.AssetCheckKey(dg.AssetKey("reconciliation_summary"), "evaluated_in_time")
        assert instance.event_log_storage.get_asset_check_execution_history(key, limit=2)


def test_the_months_figures_and_year_are_shown_and_stay_small(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(place, monkeypatch) as (definitions, instance):
        result = launch(definitions, instance, "RIVE", "2024-01")
        assert result.success
        (shown,) = [
            event.materialization.metadata
            for event in result.all_events
            if event.is_step_materialization and event.asset_key == dg.AssetKey("reconciliation_summary")
        ]
    assert "| active services | 3 |" in shown["summary"].value
    assert shown["last 12 months"].value.startswith("![RIVE, months to 2024-01](data:image/svg+xml;base64,")
    assert len(str(shown)) < 64_000
    assert "dagster/column_lineage" in shown


def test_lineage_names_columns_that_exist_of_tables_that_are_upstream(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(place, monkeypatch) as (definitions, _):
        graph = definitions.resolve_asset_graph()
        for table, columns in LINEAGE.items():
            upstream = {key.to_user_string() for key in graph.get(dg.AssetKey(table)).parent_keys}
            for column, sources in columns.items():
                assert column in BY_NAME[table].names
                for source in sources:
                    parent, _, name = source.partition(".")
                    assert parent in upstream, f"{table}.{column}"
                    assert name in BY_NAME[parent].names, f"{table}.{column}"


def test_a_tick_asks_for_the_months_whose_ticks_were_missed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(place, monkeypatch) as (definitions, instance):
        schedule = definitions.resolve_schedule_def("monthly_billing_schedule")

        def asked(tick: datetime) -> list[str]:
            context = dg.build_schedule_context(
                instance=instance, scheduled_execution_time=tick, repository_def=definitions.get_repository_def()
            )
            requests = schedule.evaluate_tick(context).run_requests or []
            return [str(one.partition_key) for one in requests if str(one.partition_key).startswith("RIVE")]

        assert asked(datetime(2024, 1, 6, 6, 0, tzinfo=PARIS)) == []  # before first_period
        assert asked(datetime(2024, 3, 6, 6, 0, tzinfo=PARIS)) == ["RIVE|2024-02"]
        ticked = datetime(2024, 3, 6, 6, 0, tzinfo=PARIS).astimezone(ZoneInfo("UTC")).isoformat()
        for operator in ("RIVE", "AUTRE", "LOIN"):
            key = f"{operator}|2024-02"
            tags = {
                "dagster/schedule_name": "monthly_billing_schedule",
                ".dagster/scheduled_execution_time": ticked,
                "dagster/partition": key,
                "dagster/partition/period": "2024-02",
            }
            instance.create_run_for_job(definitions.resolve_job_def("monthly_billing"), tags=tags)
        assert asked(datetime(2024, 3, 6, 6, 0, tzinfo=PARIS)) == ["RIVE|2024-02"]
        assert asked(datetime(2024, 6, 6, 6, 0, tzinfo=PARIS)) == ["RIVE|2024-03", "RIVE|2024-04", "RIVE|2024-05"]
        assert len(asked(datetime(2026, 6, 6, 6, 0, tzinfo=PARIS))) == 6
