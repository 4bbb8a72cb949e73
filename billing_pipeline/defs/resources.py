"""What assets are given: the configuration by its path, from which each run opens its own workspace. No secrets."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from billing_pipeline.config import load_config
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

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        with Workspace.open(load_config(self.config_file)) as workspace:
            yield workspace
