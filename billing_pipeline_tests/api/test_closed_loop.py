"""Pipeline, API, pipeline: who collects from our API what we collected from the hub has the same books."""

from collections.abc import Callable
from typing import LiteralString

import pytest

from billing_pipeline.sandbox.access import DEMO_SECRETS, NETWO_KEY
from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.reseller import generate_reseller
from billing_pipeline.sandbox.server import SandboxServer
from billing_pipeline.sandbox.workspace import write_workspace
from billing_pipeline_tests.api.serving import KEY, serving
from billing_pipeline_tests.pipeline import tables
from billing_pipeline_tests.pipeline.conftest import new_place, program, server
from billing_pipeline_tests.pipeline.places import Place

__all__ = ["new_place", "program", "server"]
PERIODS = ("2024-01", "2024-02")
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


@pytest.fixture(scope="module")
def first_and_second(new_place: Callable[[], Place]) -> tuple[Place, Place]:
    """A place that has collected SFR from the hub, and one that has collected it from the first place's `serve`."""
    reseller = generate_reseller(scale=40)
    first, second = new_place(), new_place()
    with SandboxServer(create_app(reseller, api_key=DEMO_SECRETS[NETWO_KEY])) as hub:
        write_workspace(first.folder, reseller, hub.base_url)
        first.secrets.update(DEMO_SECRETS)
        first.run(*PERIODS, options=("--operator", "SFR"))
    with serving(first.folder, first.url) as api:
        write_workspace(second.folder, reseller, api.base_url)
        second.secrets[NETWO_KEY] = KEY
        second.run(*PERIODS, options=("--operator", "SFR"))
        answered = [line for line in api.log.splitlines() if " 200 " in line]
        assert len(answered) > 4, "the second place did not ask the first"
    return first, second


@pytest.mark.parametrize("table", CARRIED)
def test_what_the_hubs_shapes_carry_arrives_unchanged(first_and_second: tuple[Place, Place], table: str) -> None:
    first, second = (place.query(CARRIED[table]) for place in first_and_second)
    assert len(first) >= 2
    assert tables.changed({table: first}, {table: second}) == {}


def test_our_verdicts_are_the_hubs_to_who_collects_from_us(first_and_second: tuple[Place, Place]) -> None:
    first, second = first_and_second
    ours = first.query("SELECT invoice_id, reconciliation_status FROM billing.invoices_with_status ORDER BY 1")
    theirs = second.query("SELECT invoice_id, source_status AS reconciliation_status FROM billing.invoices ORDER BY 1")
    assert ours == theirs
    assert {row["reconciliation_status"] for row in ours} - {None}
    verdicts = second.query("SELECT agrees, service_id FROM billing.source_verdicts WHERE service_id <> ''")
    assert len(verdicts) > 40
    assert [row["service_id"] for row in verdicts if not row["agrees"]] == []
