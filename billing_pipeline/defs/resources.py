"""What assets are given: the configuration by its path, from which each run opens its own workspace. No secrets."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from billing_pipeline.config import load_config
from billing_pipeline.defs.launch import process_tags
from billing_pipeline.steps.workspace import Workspace


class BillingResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the configured stores and database for the duration of a step."""

    config_path: str
    # How often a step of the daemon's tries again when an operator cannot be reached, and how long it waits first,
    # doubled each time. Five attempts within minutes lie behind each try (sources/http.py).
    retries: int = 2
    retry_wait_s: float = 60.0

    @property
    def config_file(self) -> Path:
        return Path(self.config_path)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Write on the run which process executes it, so that one that dies unseen is told as failed (sensors.py)."""
        if context.run is not None and context.instance is not None:
            context.instance.add_run_tags(context.run.run_id, process_tags(context.run.run_id))

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        with Workspace.open(load_config(self.config_file)) as workspace:
            yield workspace
