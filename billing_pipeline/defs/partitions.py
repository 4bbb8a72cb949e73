"""Operator x period: the partitions of every collected and reconciled table. Keys look like `ORANGE|2024-03`."""

import dagster as dg

from billing_pipeline.config import BillingConfig
from billing_pipeline.periods import Period

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
