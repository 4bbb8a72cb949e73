"""The code location: all of defs/ put together for one configuration."""

import warnings

import dagster as dg

from billing_pipeline.config import BillingConfig
from billing_pipeline.defs.assets import billing_assets
from billing_pipeline.defs.jobs import monthly_billing
from billing_pipeline.defs.partitions import billing_partitions
from billing_pipeline.defs.resources import BillingResource
from billing_pipeline.defs.schedules import monthly_billing_schedule


def code_location(config: BillingConfig) -> dg.Definitions:
    """Assets, jobs and schedules for the operators and periods of `config`."""
    with warnings.catch_warnings():
        # Backfill policies and multi-dimensional mappings are beta in Dagster 1.13, and used here knowingly.
        warnings.simplefilter("ignore", dg.BetaWarning)
        partitions = billing_partitions(config)
        job = monthly_billing(partitions)
        return dg.Definitions(
            assets=billing_assets(partitions),
            jobs=[job],
            schedules=[monthly_billing_schedule(job)],
            resources={"billing": BillingResource(config_path=str(config.path))},
        )
