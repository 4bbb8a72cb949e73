"""What starts runs when something has happened; when the calendar says so is schedules.py's."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg

from billing_pipeline.config import load_config
from billing_pipeline.defs.assets import RECONCILED
from billing_pipeline.defs.launch import fail_abandoned_runs, has_ended
from billing_pipeline.defs.partitions import partition_key
from billing_pipeline.defs.resources import BillingResource
from billing_pipeline.periods import Period
from billing_pipeline.steps.reconcile import staleness
from billing_pipeline.steps.workspace import discard_scratch

# The ledger is a few rows per month; looking costs one connection and one query per operator.
_EVERY_S = 300
# The shortest Dagster knows; looking is one query.
_ABANDONED_EVERY_S = 30


def stale_periods_sensor(job: Any) -> dg.SensorDefinition:
    """Judges months again whose verdicts late documents have made stale. Stopped until somebody starts it: a month that
    was reported should not change by itself unless that was decided.

    One run per period and state of its documents: while that run waits, and also after it failed, the same staleness
    asks for no other one.
    """

    @dg.sensor(
        name="stale_periods",
        job=job,
        minimum_interval_seconds=_EVERY_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Reconcile again the months that late documents have made stale.",
    )
    def stale_periods(billing: BillingResource) -> Iterator[dg.RunRequest | dg.SkipReason]:
        with billing.workspace() as workspace:
            stale = [
                (operator.code, period, digest)
                for operator in workspace.config.operators
                for period, digest in staleness(workspace, operator.code).items()
            ]
        if not stale:
            yield dg.SkipReason("No late document has made a period stale.")
        for code, period, digest in stale:
            yield dg.RunRequest(
                run_key=f"{code}|{period}|{digest}",
                partition_key=partition_key(code, Period.parse(period)),
                asset_selection=[dg.AssetKey(name) for name in RECONCILED],
                tags={"billing_pipeline/phase": "reconcile", "billing_pipeline/because": "stale"},
            )

    return stale_periods


def abandoned_runs_sensor() -> dg.SensorDefinition:
    """Ends, in the records, runs whose process on this host was killed with nobody watching: with the code server, or
    while the database was away. Otherwise they stay STARTED for `max_runtime_seconds` and their backfill waits as long.
    Also removes what killed runs left in scratch, whoever has noticed their end.

    Evaluated by the code server, which is where Dagster's default launcher executes runs.
    """

    @dg.sensor(
        name="abandoned_runs",
        minimum_interval_seconds=_ABANDONED_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Mark runs as failed whose process is gone.",
    )
    def abandoned_runs(context: dg.SensorEvaluationContext, billing: BillingResource) -> dg.SkipReason:
        abandoned = fail_abandoned_runs(context.instance)
        discard_scratch(load_config(billing.config_file), partial(has_ended, context.instance))
        if not abandoned:
            return dg.SkipReason("Every run under way on this host has its process.")
        return dg.SkipReason(f"Marked as failed, their processes being gone: {', '.join(abandoned)}.")

    return abandoned_runs
