"""When jobs start by themselves."""

import datetime as dt
from typing import Any

import dagster as dg

from billing_pipeline.config import BillingConfig
from billing_pipeline.defs.partitions import PERIOD, partition_key
from billing_pipeline.periods import Period, last_complete_period

MONTHLY_BILLING_SCHEDULE = "monthly_billing_schedule"
# A daemon that was away for longer has been replaced; what it missed before is a backfill somebody should decide on.
MONTHS_MADE_UP_FOR = 6


def monthly_billing_schedule(job: Any, config: BillingConfig) -> dg.ScheduleDefinition:
    """Runs the month before for every operator on the day and at the time of `schedule` in billing.yaml.

    After an outage Dagster evaluates only the last of the ticks it missed (a schedule of an asset job has no partition
    set to catch up with), so a tick also asks for the months since the one that was scheduled last.
    """

    @dg.schedule(
        name=MONTHLY_BILLING_SCHEDULE,
        job=job,
        cron_schedule=config.schedule.cron,
        execution_timezone=config.schedule.timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Run the month before for every operator, and months whose tick was missed.",
    )
    def monthly(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        newest = last_complete_period(context.scheduled_execution_time)
        first = Period.parse(config.first_period)
        if newest < first:
            return dg.SkipReason(f"{newest} is before first_period {first}.")
        scheduled = _last_scheduled(context.instance, context.scheduled_execution_time)
        oldest = newest if scheduled is None else min(newest, scheduled.shift(1))
        periods = max(first, oldest, newest.shift(1 - MONTHS_MADE_UP_FOR)).through(newest)
        return [
            dg.RunRequest(run_key=key, partition_key=key)
            for period in periods
            for key in (partition_key(operator.code, period) for operator in config.operators)
        ]

    return monthly


def _last_scheduled(instance: dg.DagsterInstance, tick: dt.datetime) -> Period | None:
    """The newest period that an earlier tick has asked for; null before the first. A tick that was killed halfway is
    evaluated again, and its own runs say nothing about the months it had still to ask for."""
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/schedule_name": MONTHLY_BILLING_SCHEDULE}), limit=1000)
    own = tick.astimezone(dt.UTC).isoformat()
    periods = [
        Period.parse(run.tags[f"dagster/partition/{PERIOD}"])
        for run in runs
        if run.tags.get(".dagster/scheduled_execution_time") != own
    ]
    return max(periods, default=None)
