"""The code location and instance of a place in the test's own process, and runs as the UI launches them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest

from billing_pipeline.config import BillingConfig, load_config
from billing_pipeline.defs.instance import open_instance, prepare_home
from billing_pipeline.defs.location import code_location
from billing_pipeline.storage.servers import connect_databases
from billing_pipeline_tests.pipeline.places import Place


@contextmanager
def instance_of(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[BillingConfig, dg.DagsterInstance]]:
    """The instance of a place, with the environment that a process of Dagster's finds it and the configuration by."""
    for name in ("DAGSTER_HOME", "BILLING_PIPELINE_DAGSTER_STORAGE"):
        monkeypatch.setenv(name, "")  # set by prepare_home, and taken back after the test
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BILLING_CONFIG", str(place.folder / "billing.yaml"))
    config = load_config(place.folder / "billing.yaml")
    home = prepare_home(config, connect_databases(config))
    with open_instance(home) as instance:
        yield config, instance


@contextmanager
def opened(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[dg.Definitions, dg.DagsterInstance]]:
    """The code location and instance of a place, as `dagster dev` would have them, in this process."""
    with instance_of(place, monkeypatch) as (config, instance):
        yield code_location(config), instance


def launch(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    operator: str,
    period: str,
    *,
    resources: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Any:
    """The whole job for one partition, as the UI launches it: no tags, no configuration, no selection of ours."""
    run_config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    if resources is not None:
        run_config["resources"] = {"billing": {"config": resources}}
    return definitions.resolve_job_def("monthly_billing").execute_in_process(
        instance=instance,
        partition_key=dg.MultiPartitionKey({"operator": operator, "period": period}),
        raise_on_error=False,
        run_config=run_config,
        tags=dict(tags or {}),
    )
