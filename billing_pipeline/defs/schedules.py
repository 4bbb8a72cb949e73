"""When jobs start by themselves."""

from typing import Any

import dagster as dg


def monthly_billing_schedule(job: Any) -> Any:
    """The 6th of each month, 06:00 Europe/Paris, for the month before: operators have billed by then."""
    return dg.build_schedule_from_partitioned_job(
        job, name="monthly_billing_schedule", day_of_month=6, hour_of_day=6, minute_of_hour=0
    )
