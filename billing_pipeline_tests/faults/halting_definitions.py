"""The code location as compose's code server loads it, in processes that can be told to halt; without the marts, which would be made beside."""

import dagster as dg

from billing_pipeline.config import find_config, load_config
from billing_pipeline.defs.location import code_location
from billing_pipeline_tests.faults.halting import install_from_environment

install_from_environment()


@dg.definitions
def definitions() -> dg.Definitions:
    return code_location(load_config(find_config(None)), marts=False)
