"""The jobs people and schedules start."""

from typing import Any

import dagster as dg

COLLECT_GROUP, RECONCILE_GROUP = "collect", "reconcile"


def monthly_billing(partitions: dg.MultiPartitionsDefinition) -> Any:
    """Collects, loads and reconciles one operator's month.

    The steps of a partition run in one process: each process of its own costs 3.5 s to start; several partitions run
    side by side as several runs.
    """
    return dg.define_asset_job(
        "monthly_billing",
        selection=dg.AssetSelection.groups(COLLECT_GROUP, RECONCILE_GROUP),
        partitions_def=partitions,
        executor_def=dg.in_process_executor,
        description="Collect, load and reconcile one operator's invoices of one month.",
    )
