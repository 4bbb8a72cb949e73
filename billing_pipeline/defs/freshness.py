"""Whether the month that should have verdicts by now has them, as an asset check that the daemon keeps up to date.

Dagster's own freshness policies ask when an asset was last materialized, in whatever partition: a backfill of 2023
would count as this month's verdicts.
"""

import datetime as dt

import dagster as dg

from billing_pipeline.defs.jobs import EVALUATED_IN_TIME
from billing_pipeline.defs.resources import BillingResource
from billing_pipeline.steps.conditions import late_operators

LATE_MONTHS = "late_months"
_ASSET = "reconciliation_summary"
_EVERY_S = 3600


def evaluated_in_time_check() -> dg.AssetChecksDefinition:
    """The check itself; it runs alone, as the state of one month says nothing about another's run."""

    @dg.asset_check(
        asset=_ASSET,
        name=EVALUATED_IN_TIME,
        description="From `freshness_day` on, every operator's month before has verdicts.",
    )
    def evaluated_in_time(billing: BillingResource) -> dg.AssetCheckResult:
        period, late = _late(billing)
        return dg.AssetCheckResult(
            passed=not late, severity=dg.AssetCheckSeverity.WARN, metadata=_metadata(period, late)
        )

    return evaluated_in_time


def late_months_sensor() -> dg.SensorDefinition:
    """Evaluates the check where its result changes: hourly evaluations of the same would only fill the event log."""

    @dg.sensor(
        name=LATE_MONTHS,
        minimum_interval_seconds=_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Keep the check evaluated_in_time up to date.",
    )
    def late_months(context: dg.SensorEvaluationContext, billing: BillingResource) -> dg.SensorResult:
        period, late = _late(billing)
        state = f"{period} {' '.join(late)}".strip()
        told = f"{period}: no verdicts for {', '.join(late)}." if late else f"{period}: every operator has verdicts."
        if state == context.cursor:
            return dg.SensorResult(skip_reason=dg.SkipReason(told))
        evaluation = dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(_ASSET),
            check_name=EVALUATED_IN_TIME,
            passed=not late,
            severity=dg.AssetCheckSeverity.WARN,
            metadata=_metadata(period, late),
        )
        return dg.SensorResult(asset_events=[evaluation], cursor=state)

    return late_months


def _late(billing: BillingResource) -> tuple[str, list[str]]:
    with billing.workspace() as workspace:
        period, codes = late_operators(workspace, dt.datetime.now(dt.UTC))
        return str(period), codes


def _metadata(period: str, late: list[str]) -> dict[str, str]:
    return {"period": period, "without verdicts": ", ".join(late) or "none"}
