"""The jobs people and schedules start."""

from typing import Any

import dagster as dg

COLLECT_GROUP, RECONCILE_GROUP, MARTS_GROUP, REBILLING_GROUP = "collect", "reconcile", "marts", "rebilling"
MARTS_JOB = "marts"
EVALUATED_IN_TIME = "evaluated_in_time"


def monthly_billing(partitions: dg.MultiPartitionsDefinition) -> Any:
    """Collects, loads and reconciles one operator's month.

    The steps of a partition run in one process: each process of its own costs 3.5 s to start; several partitions run
    side by side as several runs.
    """
    return dg.define_asset_job(
        "monthly_billing",
        # The check of the calendar belongs to no partition; all other checks come with the step that makes the asset.
        selection=dg.AssetSelection.groups(COLLECT_GROUP, RECONCILE_GROUP)
        - dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("reconciliation_summary"), EVALUATED_IN_TIME)),
        # Deprecated, yet without it the schedule is resolved only once the whole location is loaded.
        partitions_def=partitions,
        executor_def=dg.in_process_executor,
        description="Collect, load and reconcile one operator's invoices of one month.",
    )


def rebilling_job() -> Any:
    """Drafts for one month; their finalization follows in a run of its own, which gives the approval."""
    return dg.define_asset_job(
        "rebilling",
        selection=dg.AssetSelection.groups(REBILLING_GROUP),
        executor_def=dg.in_process_executor,
        description="Prepare the customers' invoices of a month as drafts; finalize them where the run gives an approval.",
    )


def marts_job() -> Any:
    """Makes the analysts' views. They show what the tables hold, so a month that is run needs no new ones."""
    return dg.define_asset_job(
        MARTS_JOB,
        selection=dg.AssetSelection.groups(MARTS_GROUP),
        executor_def=dg.in_process_executor,
        description="Make the analysts' views and run their data tests; once per release, not per month.",
    )
