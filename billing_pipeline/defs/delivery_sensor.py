"""What starts a month when a file lands in an operator's drop folder. How files are watched: steps/deliveries.py."""

from typing import Any

import dagster as dg

from billing_pipeline.config import load_config
from billing_pipeline.defs.partitions import partition_key
from billing_pipeline.defs.resources import BillingResource
from billing_pipeline.steps.deliveries import look
from billing_pipeline.storage.raw import RawStore

DELIVERED_FILES = "delivered_files"
# A file has to be seen twice, so a delivery starts its month after one to two of these.
_EVERY_S = 60
_LONGEST_TAG = 200


def delivered_files_sensor(job: Any) -> dg.SensorDefinition:
    """Runs the months whose files have landed since the latest collection. Stopped until somebody starts it: a folder
    full of history would otherwise be run by the first daemon that sees it.

    One run per partition and delivery, however many files it has; the cursor carries what was seen over a restart.
    """

    @dg.sensor(
        name=DELIVERED_FILES,
        job=job,
        minimum_interval_seconds=_EVERY_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Run the months whose files have landed in a drop folder.",
    )
    def delivered_files(context: dg.SensorEvaluationContext, billing: BillingResource) -> dg.SensorResult:
        config = load_config(billing.config_file)
        found = look(config, RawStore(config.storage.data_dir / "raw"), context.cursor)
        for line in found.told:
            context.log.warning(line)
        requests = [
            dg.RunRequest(
                run_key=one.key,
                partition_key=partition_key(one.operator_code, one.period),
                tags={
                    "billing_pipeline/because": "delivery",
                    "billing_pipeline/files": ", ".join(one.names)[:_LONGEST_TAG],
                },
            )
            for one in found.deliveries
        ]
        idle = "; ".join(found.told) or (
            f"{found.waiting} files may still be written." if found.waiting else "No file has landed."
        )
        return dg.SensorResult(
            run_requests=requests, skip_reason=None if requests else dg.SkipReason(idle), cursor=found.cursor
        )

    return delivered_files
