"""What the daemon tells people: runs of its own that failed, and what the books show. Channels and wording: alerts/.

A run of the command line is told by the command itself, unless its process died before it could.
"""

import datetime as dt
import logging
from collections.abc import Sequence

import dagster as dg

from billing_pipeline.alerts.alert import Alert, Kind, failed
from billing_pipeline.config import BillingConfig, load_config
from billing_pipeline.defs.launch import ABANDONED_TAG, is_by_command
from billing_pipeline.defs.resources import BillingResource
from billing_pipeline.errors import BillingError
from billing_pipeline.steps.conditions import outbox_of, review, tell

ALERTS_ON_FAILURE, ALERTS_ON_CONDITIONS = "alerts_on_failure", "alerts_on_conditions"
_EVERY_S = 300
_PARTITION_TAG, _WILL_RETRY_TAG = "dagster/partition", "dagster/will_retry"
_GATE_ERROR = "DagsterAssetCheckFailedError"


def alert_sensors(config: BillingConfig) -> list[dg.SensorDefinition]:
    """Both run by themselves where billing.yaml says who is told, and have nothing to do elsewhere."""
    wanted = config.alerts is not None
    status = dg.DefaultSensorStatus.RUNNING if wanted else dg.DefaultSensorStatus.STOPPED
    return [_on_failure(status), _on_conditions(status)]


def _on_failure(status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name=ALERTS_ON_FAILURE,
        default_status=status,
        description="Tell people of a run that failed for good.",
    )
    def alerts_on_failure(context: dg.RunFailureSensorContext, billing: BillingResource) -> dg.SkipReason | None:
        run, config = context.dagster_run, load_config(billing.config_file)
        told = _is_told(run, context.get_step_failure_events())
        if told is not None:
            return dg.SkipReason(told)
        alert = failed(_about(run), _text(run, context), _ended(context.instance, run))
        _hand_over(context.log, config, [alert])
        return None

    return alerts_on_failure


def _on_conditions(status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.sensor(
        name=ALERTS_ON_CONDITIONS,
        minimum_interval_seconds=_EVERY_S,
        default_status=status,
        description="Tell people of months that are incomplete or late and of keys that expire; send what waits.",
    )
    def alerts_on_conditions(context: dg.SensorEvaluationContext, billing: BillingResource) -> dg.SkipReason:
        config = load_config(billing.config_file)
        if config.alerts is None:
            return dg.SkipReason("billing.yaml has no 'alerts'.")
        with billing.workspace() as workspace:
            review(workspace, dt.datetime.now(dt.UTC))
        _settle_failures(config, context.instance)
        faults = _hand_over(context.log, config, [])
        standing = len(outbox_of(config).raised())
        return dg.SkipReason("; ".join(faults) or f"{standing} alerts stand; all of them are sent.")

    return alerts_on_conditions


def _is_told(run: dg.DagsterRun, failures: Sequence[dg.DagsterEvent]) -> str | None:
    """Why this failed run is nobody's news; null when it is."""
    if is_by_command(run) and ABANDONED_TAG not in run.tags:
        return "A run of the command line, which has told of it."
    if run.tags.get(_WILL_RETRY_TAG) == "true":
        return "It is run again."
    if failures and all(_is_the_gate(event) for event in failures):
        return "The month is incomplete, which the books show."
    return None


def _is_the_gate(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error
    return error is not None and error.cls_name == _GATE_ERROR


def _about(run: dg.DagsterRun) -> str:
    """As alert.failed takes it."""
    partition = run.tags.get(_PARTITION_TAG)
    if partition is None:
        return run.job_name
    return partition if "|" in partition else f"|{partition}"


def _ended(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dt.datetime:
    """When the run failed: by the time this is told, its repetition may be over."""
    record = instance.get_run_record_by_id(run.run_id)
    ended = None if record is None else record.end_time
    return dt.datetime.now(dt.UTC) if ended is None else dt.datetime.fromtimestamp(ended, dt.UTC)


def _text(run: dg.DagsterRun, context: dg.RunFailureSensorContext) -> str:
    """In one line what failed: our own words where an error of ours says them, never a library's."""
    code, _, period = _about(run).partition("|")
    about = f"{code or 'customer invoices'} {period}".strip()
    for event in context.get_step_failure_events():
        told = event.step_failure_data.user_failure_data
        if told is not None and told.description:
            return f"{about}: {told.description.removeprefix(f'{about}: ')}"
    return f"{about}: the run failed; see run {run.run_id} in the Dagster UI"


def _settle_failures(config: BillingConfig, instance: dg.DagsterInstance) -> None:
    """Forget failures whose partition or job has succeeded since, by whatever means."""

    def succeeded(alert: Alert) -> bool:
        if alert.kind is not Kind.FAILED:
            return False
        about = alert.key.partition("|")[2]
        tags = {_PARTITION_TAG: about.removeprefix("|")}
        which = dg.RunsFilter(tags=tags) if alert.period else dg.RunsFilter(job_name=about)
        newest = next(iter(instance.get_run_records(which, limit=1)), None)
        if newest is None or newest.dagster_run.status is not dg.DagsterRunStatus.SUCCESS:
            return False
        return newest.end_time is not None and newest.end_time > alert.raised_at.timestamp()

    outbox_of(config).settle(succeeded)


def _hand_over(log: logging.Logger, config: BillingConfig, alerts: list[Alert]) -> list[str]:
    """Raise and send; a channel that does not take it is a warning and not a failed tick: the next one tries again."""
    try:
        faults = tell(config, alerts)
    except BillingError as error:
        faults = [str(error)]
    for fault in faults:
        log.warning(fault)
    return faults
