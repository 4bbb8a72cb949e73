"""What starts runs when something has happened; when the calendar says so is schedules.py's."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from billing_pipeline.defs.assets import RECONCILED
from billing_pipeline.defs.partitions import partition_key
from billing_pipeline.defs.resources import BillingResource
from billing_pipeline.periods import Period
from billing_pipeline.steps.reconcile import staleness

# The ledger is a few rows per month; looking costs one connection and one query per operator.
_EVERY_S = 300


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
