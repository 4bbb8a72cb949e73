"""Re-invoicing from the UI: drafts without an approval, invoices with one, and nothing for drafts nobody has seen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import psycopg
import pytest

from billing_pipeline.config import load_config
from billing_pipeline.defs.instance import open_instance, prepare_home
from billing_pipeline.defs.location import code_location
from billing_pipeline.storage.servers import connect_databases
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.rebilling.world import KEY, served

SERVICES = """\
service_id,operator_code,description,customer_id,currency,monthly_price_ht,discount_percent,activated_on,terminated_on,\
installed_offer_id,external_reference,serial_number,order_reference,resale_price_ht
S-1,RIVE,Accès 1,CUST-A,EUR,20.00,0,2023-01-01,,O1,,,,25.00
"""
CUSTOMERS = (
    "customer_id,invoicing_customer_id,name,vat_code,payment_delay,locale\n"
    "CUST-A,org-cust-a,Client A,FR_2000,thirty_days,fr\n"
)
CONFIGURATION = """\
version: 1
first_period: "2024-01"
storage: {{data_dir: ./data}}
services: {{inventory: ./services.csv}}
operators:
  - {{code: RIVE, name: Rive, source: {{type: r189_files, folder: ./inbox}}}}
rebilling: {{type: customer_invoicing, base_url: "{url}", api_key_env: INVOICING_KEY, customers: ./customers.csv}}
"""
DRAFTS, INVOICES, FINALIZE = "customer_invoice_drafts", "customer_invoices", "finalize_customer_invoices"


@contextmanager
def _launching(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    for name in ("DAGSTER_HOME", "BILLING_PIPELINE_DAGSTER_STORAGE"):
        monkeypatch.setenv(name, "")
    for name, value in {**place.environment, "INVOICING_KEY": KEY}.items():
        monkeypatch.setenv(name, value)
    config = load_config(place.folder / "billing.yaml")
    home = prepare_home(config, connect_databases(config))
    with open_instance(home) as instance:
        job = code_location(config, marts=False).resolve_job_def("rebilling")

        def launch(*assets: str, ops: dict[str, Any] | None = None) -> Any:
            return job.execute_in_process(
                instance=instance,
                partition_key="2024-03",
                asset_selection=[dg.AssetKey(name) for name in assets] or None,
                raise_on_error=False,
                run_config={"ops": ops or {}, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )

        yield launch


def _materialized(result: Any) -> dict[str, Any]:
    events = [event for event in result.all_events if event.is_step_materialization]
    return {event.asset_key.to_user_string(): event.materialization.metadata for event in events}


def _failure(result: Any) -> str:
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    return str(failed.step_failure_data.user_failure_data.description)


@pytest.mark.timeout(900)
def test_a_month_is_finalized_only_as_it_was_approved(
    new_place: Callable[[], Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = new_place()
    with served() as (url, app, _):
        place.write("billing.yaml", CONFIGURATION.format(url=url))
        place.write("services.csv", SERVICES)
        place.write("customers.csv", CUSTOMERS)
        with psycopg.connect(place.url) as connection:
            connection.execute(
                "INSERT INTO billing.reconciliation_summary (operator_code, period, state, run_id, loaded_at) "
                "VALUES ('RIVE', '2024-03', 'EVALUATED', 'r', now())"
            )
        with _launching(place, monkeypatch) as launch:
            drafted = launch()
            assert drafted.success
            assert set(_materialized(drafted)) == {DRAFTS}
            code = _materialized(drafted)[DRAFTS]["approval_code"].value
            assert "CUST-A" in _materialized(drafted)[DRAFTS]["invoices"].value
            assert {one.state for one in app.state.invoicing.by_id.values()} == {"draft"}

            assert "nothing is finalized without an approval" in _failure(launch(INVOICES))
            place.write("services.csv", SERVICES.replace("25.00", "26.00"))
            approval = {FINALIZE: {"config": {"approved_by": "Marie", "drafts": code}}}
            assert "other drafts than there are now" in _failure(launch(INVOICES, ops=approval))
            assert {one.state for one in app.state.invoicing.by_id.values()} == {"draft"}

            approval[FINALIZE]["config"]["drafts"] = _materialized(launch())[DRAFTS]["approval_code"].value
            for _ in range(2):  # and again, which changes nothing
                done = launch(INVOICES, ops=approval)
                assert done.success
                assert set(_materialized(done)) == {INVOICES}
        (invoice,) = app.state.invoicing.by_id.values()
    with psycopg.connect(place.url) as connection:
        row = connection.execute(
            "SELECT state, number, approved_by, total_ht FROM rebilling.customer_invoices"
        ).fetchone()
    assert row == ("FINALIZED", invoice.number, "Marie", 26)
