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

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        with Workspace.open(load_config(Path(self.config_path))) as workspace:
            yield workspace
