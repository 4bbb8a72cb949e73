"""Operator x period: the partitions of every collected and reconciled table. Keys look like `ORANGE|2024-03`."""

import dagster as dg

from billing_pipeline.config import BillingConfig
from billing_pipeline.errors import UsageError
from billing_pipeline.periods import Period, last_complete_period

OPERATOR, PERIOD = "operator", "period"  # Dagster joins key parts in alphabetical order of these names


def billing_partitions(config: BillingConfig) -> dg.MultiPartitionsDefinition:
    """Every configured operator by every complete month since `first_period`, Europe/Paris."""
    return dg.MultiPartitionsDefinition(
        {
            OPERATOR: dg.StaticPartitionsDefinition([operator.code for operator in config.operators]),
            # With this fmt the start must be written in it too, or the code location fails to load.
            PERIOD: dg.MonthlyPartitionsDefinition(
                start_date=config.first_period, fmt="%Y-%m", timezone="Europe/Paris"
            ),
        }
    )


def partition_key(operator_code: str, period: Period) -> dg.MultiPartitionKey:
    return dg.MultiPartitionKey({OPERATOR: operator_code, PERIOD: str(period)})


def requested_period(config: BillingConfig, text: str) -> Period:
    """A period given by the user; UsageError unless there is a partition for it."""
    try:
        period = Period.parse(text)
    except ValueError as error:
        raise UsageError(f"--period {error}") from None
    first, last = Period.parse(config.first_period), last_complete_period()
    if not first <= period <= last:
        raise UsageError(
            f"--period {period} is outside {first} to {last}: periods start at 'first_period' in {config.path.name} "
            "and end with the last complete month"
        )
    return period
