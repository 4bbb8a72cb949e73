"""The dbt models as assets, unpartitioned, and what starts the job that makes them. Their SQL stands in dbt_project/, how dbt is run
in steps/marts.py.

Imported only where the marts are wanted: dagster-dbt takes 1.8 s to import, most of it dbt itself.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster._core.utils import make_new_run_id
from dagster_dbt import DagsterDbtTranslator, dbt_assets

from billing_pipeline.config import BillingConfig
from billing_pipeline.defs.jobs import MARTS_GROUP, MARTS_JOB, marts_job
from billing_pipeline.defs.launch import command_tags, first_failure
from billing_pipeline.defs.resources import BillingResource
from billing_pipeline.errors import BillingError, MartsError
from billing_pipeline.steps import marts
from billing_pipeline.steps.marts import NodeResult, Outcome
from billing_pipeline.storage.migrate import head

# One dbt at a time; dagster.yaml limits every pool to one. The lock in the database is the guard between machines.
POOL = "dbt"
SENSOR_SECONDS = 300
_UNIQUE_ID = "dagster_dbt/unique_id"


class MartsRun(dg.Config):
    """How the marts are made: `tests` runs the data tests on the whole history too, as asset checks."""

    tests: bool = True


class _Names(DagsterDbtTranslator):
    """One name per thing: an asset is called what its view or table is called."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        return dg.AssetKey(dbt_resource_props["name"])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        return MARTS_GROUP


def marts_assets(config: BillingConfig, *, pool: str | None = POOL) -> dg.AssetsDefinition:
    """One asset per dbt model, its data tests as checks. Reads the manifest, which is parsed where it is absent."""

    @dbt_assets(
        manifest=marts.manifest_path(config.storage.data_dir),
        name="make_marts",
        dagster_dbt_translator=_Names(),
        pool=pool,
    )
    def make_marts(context: dg.AssetExecutionContext, billing: BillingResource, config: MartsRun) -> Iterator[Any]:
        models, tests = _selected(context) if context.is_subset else (None, None)
        try:
            with billing.workspace() as workspace:
                outcome = marts.make(
                    workspace,
                    models=models,
                    tests=tests if config.tests else (),
                    build=models is None or bool(models),
                )
        except BillingError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        yield from _events(context, outcome)
        if outcome.failure is not None:
            raise dg.Failure(description=outcome.failure, allow_retries=False)

    return make_marts


def marts_sensor() -> dg.SensorDefinition:
    """Where only the daemon runs months, nobody's `run` makes the views of a new release: this asks for them, once per
    release and schema, so that a build that fails is not tried for ever."""

    @dg.sensor(
        name="marts_of_this_release",
        job_name=MARTS_JOB,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts job marts where the analysts' views are absent or of another release.",
    )
    def marts_of_this_release(billing: BillingResource) -> dg.RunRequest | dg.SkipReason:
        with billing.workspace() as workspace:
            if not marts.needed(workspace):
                return dg.SkipReason("The views are those of this release.")
        return dg.RunRequest(run_key=f"{marts.project_digest(marts.project_folder())} {head()}")

    return marts_of_this_release


def make_marts_now(config: BillingConfig, instance: dg.DagsterInstance) -> None:
    """Materialise every model in this process, as the UI's job does but without the data tests, whose cost grows with
    the history. MartsError in one line."""
    definitions = dg.Definitions(
        # Without the pool: a killed process of ours would keep its place in it, with no daemon there to free it.
        assets=[marts_assets(config, pool=None)],
        jobs=[marts_job()],
        resources={"billing": BillingResource(config_path=str(config.path))},
    )
    run_id = make_new_run_id()
    result = definitions.resolve_job_def(MARTS_JOB).execute_in_process(
        instance=instance,
        run_id=run_id,
        raise_on_error=False,
        run_config={
            "ops": {"make_marts": {"config": {"tests": False}}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        tags=command_tags(run_id, MARTS_GROUP),
    )
    if not result.success:
        raise MartsError(first_failure(result)[0])


def _selected(context: dg.AssetExecutionContext) -> tuple[list[str], list[str]]:
    """The models and the data tests of a run that was asked for some of them, by dbt's names."""
    models = sorted(key.to_user_string() for key in context.selected_asset_keys)
    return models, sorted(key.name for key in context.selected_asset_check_keys)


def _events(context: dg.AssetExecutionContext, outcome: Outcome) -> Iterator[Any]:
    """What Dagster is told of each model that was made and each data test that ran."""
    keys = {spec.metadata[_UNIQUE_ID]: spec.key for spec in context.assets_def.check_specs if spec.metadata}
    for one in outcome.results:
        if one.is_model:
            if one.status == "success":
                yield dg.MaterializeResult(asset_key=one.name)
        elif keys.get(one.unique_id) in context.selected_asset_check_keys and one.status != "skipped":
            yield _check(keys[one.unique_id], one)


def _check(key: dg.AssetCheckKey, one: NodeResult) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=one.status == "pass",
        asset_key=key.asset_key,
        check_name=key.name,
        severity=dg.AssetCheckSeverity.WARN if one.status == "warn" else dg.AssetCheckSeverity.ERROR,
        metadata={"rows": one.failures or 0, "message": one.message or "passed"},
    )
