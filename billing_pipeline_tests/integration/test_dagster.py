"""The asset graph as an API: its names are kept, the schedule asks for the right month, and a run from the UI is a run."""

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from billing_pipeline_tests.integration.located import launch as _launch
from billing_pipeline_tests.integration.located import opened as _opened
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.pipeline.rive import deliver, write_inputs

SNAPSHOT = Path(__file__).with_name("asset_graph.json")
PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture(scope="module")
def delivered(new_place: Callable[[], Place]) -> Place:
    """January and February are delivered, nothing is collected; two operators are configured."""
    place = new_place()
    write_inputs(place)
    place.write("billing.yaml", (place.folder / "billing.yaml").read_text() + _SECOND)
    deliver(place, "2024-01")
    deliver(place, "2024-02")
    return place


_SECOND = "  - {code: AUTRE, name: Autre, source: {type: r189_files, folder: ./inbox/autre}}\n"


def _described(definitions: dg.Definitions) -> dict[str, Any]:
    graph = definitions.resolve_asset_graph()
    assets = {}
    for key in sorted(graph.get_all_asset_keys(), key=lambda one: one.to_user_string()):
        node = graph.get(key)
        partitions = node.partitions_def
        dimensions = (
            [one.name for one in partitions.partitions_defs] if hasattr(partitions, "partitions_defs") else None
        )
        assets[key.to_user_string()] = {
            "group": node.group_name,
            "partitions": dimensions,
            "upstream": sorted(parent.to_user_string() for parent in node.parent_keys),
        }
    checks = {
        f"{check.asset_key.to_user_string()}: {check.name}": "blocking"
        if graph.get_check_spec(check).blocking
        else "told"
        for check in sorted(graph.asset_check_keys)
    }
    jobs = {job.name for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")}
    schedules = {one.name: [one.cron_schedule, one.execution_timezone] for one in definitions.schedules or []}
    sensors = {
        one.name: {"status": one.default_status.value, "every_s": one.minimum_interval_seconds}
        for one in definitions.sensors or []
    }
    return {"assets": assets, "checks": checks, "jobs": sorted(jobs), "schedules": schedules, "sensors": sensors}


def test_names_that_others_rely_on_have_not_changed(delivered: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing here breaks somebody's link, alert or backfill. BILLING_TEST_SNAPSHOT=write accepts a change."""
    with _opened(delivered, monkeypatch) as (definitions, _):
        found = _described(definitions)
    if os.environ.get("BILLING_TEST_SNAPSHOT") == "write":
        SNAPSHOT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    assert found == json.loads(SNAPSHOT.read_text())


def test_the_names_the_contract_promises_are_there() -> None:
    kept = json.loads(SNAPSHOT.read_text())
    promised = {
        "source_documents", "invoices", "invoice_lines", "line_allocations", "services", "reconciliation_items",
        "reconciliation_summary",
    }  # fmt: skip
    assert promised <= set(kept["assets"])
    assert {tuple(kept["assets"][name]["partitions"]) for name in promised} == {("operator", "period")}
    assert "monthly_billing" in kept["jobs"]
    assert kept["schedules"]["monthly_billing_schedule"] == ["0 6 6 * *", "Europe/Paris"]


def test_partitions_are_every_operator_by_every_complete_month(
    delivered: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _opened(delivered, monkeypatch) as (definitions, _):
        graph = definitions.resolve_asset_graph()
        partitions = graph.get(dg.AssetKey("reconciliation_summary")).partitions_def
        assert partitions is not None
        keys = [
            str(key) for key in partitions.get_partition_keys(current_time=datetime(2024, 4, 1, 0, 30, tzinfo=PARIS))
        ]
    assert sorted(keys) == [
        "AUTRE|2024-01", "AUTRE|2024-02", "AUTRE|2024-03", "RIVE|2024-01", "RIVE|2024-02", "RIVE|2024-03",
    ]  # fmt: skip


def test_the_schedules_tick_asks_for_the_month_before_of_every_operator(
    delivered: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _opened(delivered, monkeypatch) as (definitions, instance):
        schedule = definitions.resolve_schedule_def("monthly_billing_schedule")
        tick = datetime(2024, 4, 6, 6, 0, tzinfo=PARIS)
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=tick, repository_def=definitions.get_repository_def()
        )
        requests = schedule.evaluate_tick(context).run_requests
    assert sorted(str(request.partition_key) for request in requests or []) == ["AUTRE|2024-03", "RIVE|2024-03"]
    assert len({request.run_key for request in requests or []}) == 2


def _failures(result: Any) -> list[str]:
    return [event.step_failure_data.error.to_string() for event in result.all_events if event.is_step_failure]


def test_a_run_from_the_ui_stores_what_the_command_line_stores(
    delivered: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_command, by_ui = delivered.copy(), delivered.copy()
    by_command.run("2024-01", options=("--operator", "RIVE"))
    with _opened(by_ui, monkeypatch) as (definitions, instance):
        result = _launch(definitions, instance, "RIVE", "2024-01")
        assert result.success, _failures(result)
        checks = {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
    assert checks
    assert all(checks.values()), checks
    assert tables.changed(by_command.content(), by_ui.content()) == {}
    # And one is up to date for the other.
    before = by_ui.stored()
    by_ui.run("2024-01", options=("--operator", "RIVE"))
    assert tables.changed(before, by_ui.stored()) == {}


def test_findings_and_files_written_otherwise_are_told_and_stop_nothing(
    delivered: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """February states another month's invoice with other content, in a file with decimal commas."""
    place = delivered.copy()
    february = place.folder / "inbox" / "rive" / "R189_RIVE_202402.csv"
    february.write_text(february.read_text().replace(".00", ",00"))
    told = {}
    with _opened(place, monkeypatch) as (definitions, instance):
        for period in ("2024-01", "2024-02"):
            result = _launch(definitions, instance, "RIVE", period)
            assert result.success, _failures(result)
            told[period] = {one.check_name: one for one in result.get_asset_check_evaluations()}
    names = ("invoices_agree_with_themselves", "files_are_written_as_before")
    assert [told["2024-01"][name].passed for name in names] == [True, True]
    assert [told["2024-02"][name].passed for name in names] == [False, False]
    assert told["2024-02"][names[0]].metadata["DUPLICATE_INVOICE"].value == 1
    assert told["2024-02"][names[1]].metadata["first"].value == "R189_RIVE_202402.csv: decimal ',', in 2024-01 '.'"


def test_an_incomplete_month_stops_at_the_gate(delivered: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """March has no file: the check fails, the run says so, and no verdict is computed in it."""
    place = delivered.copy()
    with _opened(place, monkeypatch) as (definitions, instance):
        result = _launch(definitions, instance, "RIVE", "2024-03")
        checks = {one.check_name: one for one in result.get_asset_check_evaluations()}
        materialized = {
            event.asset_key.to_user_string() for event in result.all_events if event.is_step_materialization
        }
    assert not result.success
    assert not checks["collection_is_complete"].passed
    assert "2024-03" in str(checks["collection_is_complete"].metadata["missing"].value)
    assert "invoice_lines" in materialized
    assert "reconciliation_items" not in materialized
    (summary,) = place.stored()["reconciliation_summary"]
    assert (summary["period"], summary["state"]) == ("2024-03", "NOT_EVALUATED")
    assert place.stored()["reconciliation_items"] == []


def test_a_source_that_fails_is_told_in_the_run_in_one_line(delivered: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place = delivered.copy()
    with _opened(place, monkeypatch) as (definitions, instance):
        result = _launch(definitions, instance, "AUTRE", "2024-01")
        (failure,) = [event for event in result.all_events if event.is_step_failure]
    described = failure.step_failure_data.user_failure_data.description
    assert "inbox/autre" in described
    assert "\n" not in described
    (summary,) = place.stored()["reconciliation_summary"]
    assert (summary["operator_code"], summary["state"]) == ("AUTRE", "NOT_EVALUATED")
