"""Runs started from the command line: the same job, partitions and instance as the UI's, in this process."""

import logging
import os
import socket
import time
from dataclasses import dataclass
from typing import Literal

import dagster as dg
import psutil
from dagster._core.utils import make_new_run_id

from billing_pipeline.defs.jobs import COLLECT_GROUP, RECONCILE_GROUP
from billing_pipeline.defs.partitions import partition_key
from billing_pipeline.errors import PartitionFailed
from billing_pipeline.periods import Period

Phase = Literal["collect", "reconcile"]
_GROUPS = {"collect": COLLECT_GROUP, "reconcile": RECONCILE_GROUP}
# One tag, since the UI shows each on a line of its own in every list of runs: host, pid, when the process started, and
# the run, because a run that is executed again carries the tags of the one it repeats.
PROCESS_TAG = "billing_pipeline/process"
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
        run_id = make_new_run_id()
        result = self._job.execute_in_process(
            instance=self.instance,
            run_id=run_id,
            partition_key=partition_key(operator_code, period),
            asset_selection=self._assets[phase],
            raise_on_error=False,
            run_config={"ops": ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags=command_tags(run_id, phase),
        )
        seconds = time.monotonic() - started
        materialized = frozenset(
            event.asset_key.to_user_string()
            for event in result.all_events
            if event.is_step_materialization and event.asset_key is not None
        )
        failure, code = (None, 0) if result.success else first_failure(result)
        return RunOutcome(result.run_id, seconds, materialized, failure, code)


def command_tags(run_id: str, phase: str) -> dict[str, str]:
    """The tags of a run of the command line's."""
    return {
        COMMAND_TAG: "run",
        "billing_pipeline/phase": phase,
        # The daemon's run retries are for runs of its own; whoever typed this one decides about another.
        "dagster/max_retries": "0",
        **process_tags(run_id),
    }


def is_by_command(run: dg.DagsterRun) -> bool:
    """Whether the command line executes this run. One that the UI executes again keeps the tags of the one it repeats,
    but has a code location, which a run of ours in this process has not."""
    return COMMAND_TAG in run.tags and run.remote_job_origin is None


def process_tags(run_id: str) -> dict[str, str]:
    """What identifies the process a run is executed in, for those who look later whether it is still alive."""
    started = f"{psutil.Process().create_time():.2f}"
    return {PROCESS_TAG: f"{socket.gethostname()} {os.getpid()} {started} {run_id}"}


def fail_abandoned_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed whose process on this host is gone, and return their ids.

    Nobody else does: Dagster 1.13 watches the processes of a code server only while that server lives and can reach its
    storage, and those of the command line not at all.
    """
    unfinished = dg.RunsFilter(
        statuses=[
            dg.DagsterRunStatus.STARTED,
            dg.DagsterRunStatus.STARTING,
            dg.DagsterRunStatus.NOT_STARTED,
            dg.DagsterRunStatus.CANCELING,
        ]
    )
    abandoned = []
    for run in instance.get_runs(unfinished):
        if _is_abandoned(run.run_id, run.tags.get(PROCESS_TAG, "")):
            instance.add_run_tags(run.run_id, {ABANDONED_TAG: "true"})
            instance.report_run_failed(run, "The process that ran it is gone; run the partition again.")
            abandoned.append(run.run_id)
    return abandoned


def has_ended(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether this instance knows the run, and as one that is over."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.is_finished


def _is_abandoned(run_id: str, tag: str) -> bool:
    """Whether the tag is this run's own, of a process of this host, and that process is gone."""
    host, pid, started, tagged = (tag.split(" ") + [""] * 4)[:4]
    if (host, tagged) != (socket.gethostname(), run_id):
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != started
    except psutil.Error:
        return True


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
