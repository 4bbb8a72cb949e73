"""The marts as Dagster assets: their names, their checks, and that no month waits for them."""

import warnings
from collections.abc import Iterator

import dagster as dg
import pytest

from billing_pipeline.config import load_config
from billing_pipeline.defs.location import code_location
from billing_pipeline.defs.marts import marts_assets
from billing_pipeline.defs.resources import BillingResource
from billing_pipeline.steps import marts
from billing_pipeline_tests.marts import books

MODELS = marts.model_names(marts.project_folder())


@pytest.fixture
def quiet() -> Iterator[None]:
    """Without Dagster's beta and deprecation warnings about itself, which differ from release to release."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def in_environment(monkeypatch):
    def enter(office):
        for name, value in office.environment.items():
            monkeypatch.setenv(name, value)
        return load_config(office.config_path)

    return enter


def _materialize(config, instance, selection=None, checks=True):
    definitions = code_location(config)
    job = definitions.resolve_job_def("marts")
    return job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(name) for name in selection] if selection else None,
        raise_on_error=False,
        run_config={"ops": {"make_marts": {"config": {"tests": checks}}}},
    )


def _made(result):
    return {e.asset_key.to_user_string() for e in result.all_events if e.is_step_materialization}


def test_assets_are_called_what_their_views_are_and_hang_on_the_tables_they_read(made, quiet):
    definitions = code_location(load_config(made.config_path))
    graph = definitions.resolve_asset_graph()
    group = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).group_name == "marts"}
    assert group == MODELS
    for name in MODELS:
        node = graph.get(dg.AssetKey(name))
        assert not node.is_partitioned
        assert node.parent_keys
    assert graph.get(dg.AssetKey("stg_invoices")).parent_keys == {dg.AssetKey("invoices")}
    monthly = definitions.resolve_job_def("monthly_billing").asset_layer.selected_asset_keys
    assert {key.to_user_string() for key in monthly} & MODELS == set()
    assert marts_assets(load_config(made.config_path)).op.pool == "dbt"


def test_every_data_test_is_a_check(made, quiet):
    specs = list(marts_assets(load_config(made.config_path)).check_specs)
    singular = {path.stem for path in (marts.project_folder() / "tests").glob("*.sql")}
    assert singular <= {spec.name for spec in specs}
    assert len(specs) > 40


def test_the_job_makes_all_views_and_reports_every_check(made, new_office, in_environment, quiet):
    office = new_office(made)
    office.execute("DROP SCHEMA billing_marts CASCADE")
    config = in_environment(office)
    with dg.DagsterInstance.ephemeral() as instance:
        result = _materialize(config, instance)
    assert result.success
    assert _made(result) == MODELS
    evaluations = result.get_asset_check_evaluations()
    assert len(evaluations) == len(list(marts_assets(config).check_specs))
    assert [one.check_name for one in evaluations if not one.passed] == []
    assert office.rows("SELECT count(*) FROM billing_marts.fct_recoverable") == [(2,)]


def test_a_failing_data_test_is_a_failed_check(made, new_office, in_environment, quiet):
    office = new_office(made)
    office.execute(
        books.BREAKAGES["assert_the_operator_month_agrees_with_the_summary"],
        books.BREAKAGES["assert_every_share_of_a_month_is_in_an_item"],
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = _materialize(in_environment(office), instance)
    failed = {one.check_name: one.severity for one in result.get_asset_check_evaluations() if not one.passed}
    assert failed == {
        "assert_the_operator_month_agrees_with_the_summary": dg.AssetCheckSeverity.ERROR,
        "assert_every_share_of_a_month_is_in_an_item": dg.AssetCheckSeverity.WARN,
        # The lost share was the proof of an item's line, too.
        "assert_every_line_of_an_item_has_its_proof": dg.AssetCheckSeverity.WARN,
    }
    # It comes after the last view, so all views are there.
    assert _made(result) == MODELS


def test_one_model_can_be_made_alone_and_is_not_taken_for_all(made, new_office, in_environment, quiet):
    office = new_office(made)
    office.execute("DROP SCHEMA billing_marts CASCADE")
    with dg.DagsterInstance.ephemeral() as instance:
        result = _materialize(
            in_environment(office), instance, ["stg_operator_terms", "stg_reconciliation_summary", "dim_operator"]
        )
    assert result.success
    assert _made(result) == {"stg_operator_terms", "stg_reconciliation_summary", "dim_operator"}
    assert {one.asset_key.to_user_string() for one in result.get_asset_check_evaluations()} == _made(result)
    views = office.rows("SELECT viewname FROM pg_views WHERE schemaname = 'billing_marts'")
    assert {name for (name,) in views} == _made(result)
    assert office.rows("SELECT obj_description('billing_marts'::regnamespace, 'pg_namespace')") == [(None,)]


def test_invoices_go_on_where_the_marts_cannot_be_prepared(made, new_office, quiet, caplog):
    office = new_office()
    (office.folder / "blocked").write_text("a file where a folder should be")
    office.configure(months=12, data_dir=office.folder / "blocked")
    definitions = code_location(load_config(office.config_path))
    assert [job.name for job in definitions.jobs] == ["monthly_billing", "rebilling"]
    assert "the marts are left out" in caplog.text
    assert str(office.folder / "blocked") in caplog.text


def test_the_daemon_asks_once_for_the_views_of_a_release(made, new_office, in_environment, quiet):
    office = new_office(made)
    config = in_environment(office)
    definitions = code_location(config)
    sensor = definitions.resolve_sensor_def("marts_of_this_release")
    assert sensor.job_name == "marts"

    def asked():
        resources = {"billing": BillingResource(config_path=str(config.path))}
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance, definitions=definitions, resources=resources)
            return sensor.evaluate_tick(context)

    assert asked().run_requests == []
    office.execute("DROP VIEW billing_marts.dim_service")
    (first,), (second,) = asked().run_requests, asked().run_requests
    assert first.run_key == second.run_key
