"""Runs started from the command line: the same job, partitions and instance as the UI's, in this process."""

import logging
import os
import socket
import time
from dataclasses import dataclass
from typing import Literal

import dagster as dg
import psutil

from billing_pipeline.defs.jobs import COLLECT_GROUP, RECONCILE_GROUP
from billing_pipeline.defs.partitions import partition_key
from billing_pipeline.errors import PartitionFailed
from billing_pipeline.periods import Period

Phase = Literal["collect", "reconcile"]
_GROUPS = {"collect": COLLECT_GROUP, "reconcile": RECONCILE_GROUP}
HOST_TAG, PID_TAG, STARTED_TAG = "billing_pipeline/host", "billing_pipeline/pid", "billing_pipeline/process_started"
COMMAND_TAG, ABANDONED_TAG = "billing_pipeline/command", "billing_pipeline/abandoned"


@dataclass(frozen=True)
class RunOutcome:
    """One run of one partition: what it `materialized`, and in one line why it failed; null when it did not."""

    run_id: str
    seconds: float
    materialized: frozenset[str]
    failure: str | None
    exit_code: int


class Launcher:
    """Runs partitions of job monthly_billing one after the other."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self._job = definitions.resolve_job_def("monthly_billing")
        self.instance = instance
        self._assets = {
            phase: [key for key in self._job.asset_layer.selected_asset_keys if self._group(key) == group]
            for phase, group in _GROUPS.items()
        }
        # Step logs go to the instance's event log, where the UI shows them; the terminal gets one line per step.
        logging.getLogger("dagster").setLevel(logging.CRITICAL)

    def _group(self, key: dg.AssetKey) -> str:
        return self._job.asset_layer.get(key).group_name

    def run(self, operator_code: str, period: Period, phase: Phase, *, from_raw: bool = False) -> RunOutcome:
        """Materialise one phase of one partition; never raises for a failure of the partition itself."""
        started = time.monotonic()
        ops = {"source_documents": {"config": {"from_raw": from_raw}}} if phase == "collect" else {}
        result = self._job.execute_in_process(
            instance=self.instance,
            partition_key=partition_key(operator_code, period),
            asset_selection=self._assets[phase],
            raise_on_error=False,
            run_config={"ops": ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={COMMAND_TAG: "run", "billing_pipeline/phase": phase, **process_tags()},
        )
        seconds = time.monotonic() - started
        materialized = frozenset(
            event.asset_key.to_user_string()
            for event in result.all_events
            if event.is_step_materialization and event.asset_key is not None
        )
        failure, code = (None, 0) if result.success else first_failure(result)
        return RunOutcome(result.run_id, seconds, materialized, failure, code)


def process_tags() -> dict[str, str]:
    """What identifies this process, for those who look later whether it is still alive."""
    return {
        # The daemon's run retries are for runs of its own; whoever typed this one decides about another.
        "dagster/max_retries": "0",
        HOST_TAG: socket.gethostname(),
        PID_TAG: str(os.getpid()),
        STARTED_TAG: f"{psutil.Process().create_time():.2f}",
    }


def fail_abandoned_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark command-line runs as failed whose process on this host is gone; nobody else watches over them."""
    unfinished = dg.RunsFilter(
        statuses=[
            dg.DagsterRunStatus.STARTED,
            dg.DagsterRunStatus.STARTING,
            dg.DagsterRunStatus.NOT_STARTED,
            dg.DagsterRunStatus.CANCELING,
        ],
        tags={HOST_TAG: socket.gethostname()},
    )
    abandoned = []
    for run in instance.get_runs(unfinished):
        if not _alive(int(run.tags.get(PID_TAG, "0")), run.tags.get(STARTED_TAG, "")):
            instance.add_run_tags(run.run_id, {ABANDONED_TAG: "true"})
            instance.report_run_failed(run, "The process that ran it is gone; run the partition again.")
            abandoned.append(run.run_id)
    return abandoned


def _alive(pid: int, started: str) -> bool:
    try:
        return f"{psutil.Process(pid).create_time():.2f}" == started
    except psutil.Error:
        return False


def first_failure(result: dg.ExecuteInProcessResult) -> tuple[str, int]:
    """Why a run failed, in one line, and the exit code that goes with it."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            told = data.user_failure_data
            if told is not None and told.description:
                code = told.metadata.get("exit_code")
                known = code.value if isinstance(code, dg.IntMetadataValue) else None
                return told.description, PartitionFailed.exit_code if known is None else known
            error = data.error.cause or data.error if data.error else None
            return (error.message.strip() if error else "the step failed"), PartitionFailed.exit_code
    return "the run failed before its first step; see it in the UI", PartitionFailed.exit_code
