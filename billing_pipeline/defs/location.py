"""The code location: all of defs/ put together for one configuration."""

import logging
import warnings

import dagster as dg

from billing_pipeline.config import BillingConfig
from billing_pipeline.defs.alert_sensors import alert_sensors
from billing_pipeline.defs.assets import billing_assets
from billing_pipeline.defs.delivery_sensor import delivered_files_sensor
from billing_pipeline.defs.freshness import evaluated_in_time_check, late_months_sensor
from billing_pipeline.defs.jobs import marts_job, monthly_billing, rebilling_job
from billing_pipeline.defs.partitions import billing_partitions
from billing_pipeline.defs.rebilling import rebilling_assets
from billing_pipeline.defs.resources import BillingResource
from billing_pipeline.defs.schedules import monthly_billing_schedule
from billing_pipeline.defs.sensors import abandoned_runs_sensor, stale_periods_sensor
from billing_pipeline.errors import MartsError

_log = logging.getLogger(__name__)


def code_location(config: BillingConfig, *, marts: bool = True) -> dg.Definitions:
    """Assets, jobs and schedules for the operators and periods of `config`; `marts`: the dbt models too, which cost an
    import of 2 s and, the first time, 5 s of parsing."""
    with warnings.catch_warnings():
        # Backfill policies and multi-dimensional mappings are beta in Dagster 1.13, and used here knowingly.
        warnings.simplefilter("ignore", dg.BetaWarning)
        # So are checks of partitions: without theirs, last month's failed gate would be hidden by this month's open one.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        partitions = billing_partitions(config)
        job = monthly_billing(partitions)
        months = dg.Definitions(
            assets=[*billing_assets(partitions), *rebilling_assets(config)],
            jobs=[job, rebilling_job()],
            asset_checks=[evaluated_in_time_check()],
            schedules=[monthly_billing_schedule(job, config)],
            sensors=[
                stale_periods_sensor(job),
                abandoned_runs_sensor(),
                delivered_files_sensor(job),
                late_months_sensor(),
                *alert_sensors(config),
            ],
            resources={"billing": BillingResource(config_path=str(config.path))},
            # For what the asset graph starts outside a job, backfills among it: a process per step costs 3.5 s each, and
            # a run is told alive by the one process it names (resources.py).
            executor=dg.in_process_executor,
        )
        return dg.Definitions.merge(months, _marts(config)) if marts else months


def _marts(config: BillingConfig) -> dg.Definitions:
    """A code location that does not load fails every backfill of the daemon for good, so invoices go on without them."""
    try:
        from billing_pipeline.defs.marts import marts_assets, marts_sensor

        return dg.Definitions(assets=[marts_assets(config)], jobs=[marts_job()], sensors=[marts_sensor()])
    except MartsError as error:
        _log.warning("the marts are left out of the code location: %s", error)
        return dg.Definitions()
