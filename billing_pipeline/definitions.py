"""What Dagster loads: everything in defs/, for the configuration that `BILLING_CONFIG` or ./billing.yaml names."""

import dagster as dg

from billing_pipeline.config import find_config, load_config
from billing_pipeline.defs.location import code_location


@dg.definitions
def definitions() -> dg.Definitions:
    return code_location(load_config(find_config(None)))
