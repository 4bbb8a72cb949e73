"""The last step of `run`: the analysts' views, where they are absent or of another release. Prints its one line."""

import sys
import time

from billing_pipeline.defs.launch import Launcher
from billing_pipeline.errors import BillingError
from billing_pipeline.steps import marts
from billing_pipeline.steps.workspace import Workspace


def make_marts(workspace: Workspace, launcher: Launcher) -> bool:
    """Make them if need be; False, and a line on stderr, when that failed. Changes nothing of the partitions."""
    started = time.monotonic()
    try:
        if not marts.needed(workspace):
            _line(started, "unchanged")
            return True
        # Imports dbt, which only the run that needs it should wait for.
        from billing_pipeline.defs.marts import make_marts_now

        make_marts_now(workspace.config, launcher.instance)
    except BillingError as error:
        _line(started, "FAILED")
        told = " ".join(str(error).split())
        print(f"billing-pipeline: marts: {told}", file=sys.stderr, flush=True)
        return False
    _line(started, f"{len(marts.model_names(marts.project_folder()))} views made in schema billing_marts")
    return True


def _line(started: float, text: str) -> None:
    print(f"marts {time.monotonic() - started:5.1f} s  {text}", flush=True)
