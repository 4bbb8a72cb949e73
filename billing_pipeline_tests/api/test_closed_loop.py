"""Pipeline, API, pipeline: who collects from our API what we collected from the hub has the same books."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.rows import dict_row

from billing_pipeline.config import load_config
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.access import DEMO_SECRETS, NETWO_KEY
from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.reseller import Reseller, generate_reseller
from billing_pipeline.sandbox.server import SandboxServer
from billing_pipeline.sandbox.workspace import write_workspace
from billing_pipeline.steps.collect import collect
from billing_pipeline.steps.load import load
from billing_pipeline.steps.reconcile import reconcile
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline_tests.api.serving import KEY, serving

PERIODS = (Period(2024, 1), Period(2024, 2))
# What the hub's shapes carry, and what follows from it.
CARRIED: dict[str, LiteralString] = {
    "invoices": "SELECT operator_code, period, invoice_id, operator_name, document_type, received_at, currency, total_ht,"
    " total_ttc, line_count FROM billing.invoices ORDER BY 1, 2, 3",
    "invoice_lines": "SELECT operator_code, period, invoice_id, line_id, service_id, description, quantity, unit_price_ht,"
    " total_ht, currency, charge_type, source_row FROM billing.invoice_lines ORDER BY 1, 2, 3, 4",
    "reconciliation_items": "SELECT operator_code, period, item_id, status, service_amount, invoice_amount, reason_code,"
    " invoice_line_ids, detail FROM billing.reconciliation_items ORDER BY 1, 2, 3",
    "reconciliation_summary": "SELECT operator_code, period, state, total_services, matched, unmatched, discrepancies"
    " FROM billing.reconciliation_summary ORDER BY 1, 2",
}


def run(folder: Path, url: str, reseller: Reseller, hub_url: str) -> None:
    """SFR's months from the hub at `hub_url`: the pipeline's own steps, without Dagster around them."""
    config = load_config(write_workspace(folder, reseller, hub_url))
    environ = {"BILLING_POSTGRES_URL": url, "BILLING_DAGSTER_POSTGRES_URL": url}
    with Workspace.open(config, environ) as workspace:
        operator = config.operator("SFR")
        for period in PERIODS:
            collect(workspace, operator, period, run_id="loop", from_raw=False)
            assert load(workspace, operator, period, run_id="loop", loaded_at=datetime.now(UTC)).complete
            assert reconcile(workspace, operator, period, run_id="loop", loaded_at=datetime.now(UTC)).evaluated


def query(url: str, statement: LiteralString) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(statement).fetchall()


@pytest.fixture(scope="module")
def first_and_second(new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A database filled from the hub, and one filled from `serve` on the first: over HTTP both."""
    reseller = generate_reseller(scale=40)
    folders = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    first, second = new_database(), new_database()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in DEMO_SECRETS.items():
            patch.setenv(name, value)
        with SandboxServer(create_app(reseller, api_key=DEMO_SECRETS[NETWO_KEY])) as hub:
            run(folders[0], first, reseller, hub.base_url)
        with serving(folders[0], first) as api:
            patch.setenv(NETWO_KEY, KEY)
            run(folders[1], second, reseller, api.base_url)
            assert api.log.count(" 200 ") >= 3 * len(PERIODS), "the second did not ask the first"
    return first, second


@pytest.mark.parametrize("table", CARRIED)
def test_what_the_hubs_shapes_carry_arrives_unchanged(first_and_second: tuple[str, str], table: str) -> None:
    first, second = (query(url, CARRIED[table]) for url in first_and_second)
    assert len(first) >= len(PERIODS)
    assert first == second


def test_our_verdicts_are_the_hubs_to_who_collects_from_us(first_and_second: tuple[str, str]) -> None:
    first, second = first_and_second
    ours = query(first, "SELECT invoice_id, reconciliation_status FROM billing.invoices_with_status ORDER BY 1")
    theirs = query(second, "SELECT invoice_id, source_status AS reconciliation_status FROM billing.invoices ORDER BY 1")
    assert ours == theirs
    assert {row["reconciliation_status"] for row in ours} - {None}
    # Line-side items (one-off charges, lines of ended services) name services too, and are not the service's verdict.
    verdicts = query(
        second,
        "SELECT v.* FROM billing.source_verdicts AS v JOIN billing.reconciliation_items AS i ON i.side = 'service' AND"
        " (i.operator_code, i.period, i.service_id, coalesce(i.invoice_line_id, ''))"
        " = (v.operator_code, v.period, v.service_id, v.invoice_line_id)",
    )
    assert len(verdicts) > 20
    assert [row for row in verdicts if not row["agrees"]] == []
