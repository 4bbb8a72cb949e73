"""What the README promises of the UI, done with a browser: a backfill, its verdicts, and one operator that fails."""

from decimal import Decimal

import psycopg
import pytest
from psycopg import sql

from billing_pipeline.storage import embedded
from billing_pipeline_tests.browser.conftest import Dev
from billing_pipeline_tests.browser.dagster_ui import DagsterUi

OPERATORS = ("ORANGE", "SFR", "AXIONE")
# Column of the summary → what people read beside its value.
FIGURES = {
    "total_services": "active services", "matched": "matched", "unmatched": "unmatched",
    "discrepancies": "discrepancies", "difference": "billed less expected HT",
}  # fmt: skip
# Each test waits for one backfill: its daemon looks every 30 s, and two cores run three processes of Dagster.
pytestmark = pytest.mark.timeout(1500)


def _summary(dev: Dev, operator: str, period: str) -> dict[str, object]:
    with psycopg.connect(embedded.start(dev.folder / "data").url_for("billing")) as connection:
        row = connection.execute(
            sql.SQL("SELECT {} FROM billing.reconciliation_summary WHERE operator_code = %s AND period = %s").format(
                sql.SQL(", ").join(map(sql.Identifier, ("state", *FIGURES)))
            ),
            (operator, period),
        ).fetchone()
    assert row is not None
    return dict(zip(("state", *FIGURES), row, strict=True))


def test_a_month_of_all_operators_is_backfilled_and_its_verdicts_are_read(ui: DagsterUi, dev: Dev) -> None:
    ui.open_asset_graph("reconcile")
    ui.page.get_by_text("reconciliation_items", exact=True).filter(visible=True).first.wait_for()
    ui.picture("asset-graph")
    backfill = ui.launch_backfill("2024-01", len(OPERATORS))
    assert ui.wait_for_backfill(backfill) in ("Succeeded", "Completed", "Success")
    ui.picture("backfill")
    runs = ui.runs(backfill, [f"{operator}|2024-01" for operator in OPERATORS])
    assert all("Success" in row for row in runs.values()), runs
    for operator in OPERATORS:
        ui.open_partition("reconciliation_summary", f"{operator}|2024-01")
        ui.picture(f"summary-{operator}")
        shown, stored = ui.figures(), _summary(dev, operator, "2024-01")
        assert stored["state"] == shown["state"] == "EVALUATED"
        assert int(shown["active services"]) > 0
        for name, title in FIGURES.items():
            assert Decimal(shown[title]) == stored[name], name


def test_an_operator_that_fails_leaves_the_others_done_and_is_run_again_alone(ui: DagsterUi, dev: Dev) -> None:
    inbox = dev.folder / "inbox" / "axione"
    away = inbox.rename(inbox.with_name("axione-away"))
    backfill = ui.launch_backfill("2024-02", len(OPERATORS))
    assert ui.wait_for_backfill(backfill) == "Failed"
    runs = ui.runs(backfill, [f"{operator}|2024-02" for operator in OPERATORS])
    ui.picture("one-failed")
    told = {name.partition("|")[0]: ("Success" in row, "Failure" in row) for name, row in runs.items()}
    assert told == {"ORANGE": (True, False), "SFR": (True, False), "AXIONE": (False, True)}
    assert _summary(dev, "AXIONE", "2024-02")["state"] == "NOT_EVALUATED"
    assert {_summary(dev, operator, "2024-02")["state"] for operator in ("ORANGE", "SFR")} == {"EVALUATED"}

    away.rename(inbox)
    ui.open_run("AXIONE|2024-02")
    # Why, and the remedy, in the run's own log.
    ui.page.get_by_text("create the folder or correct 'source.folder'").first.wait_for()
    ui.picture("why")
    ui.re_execute()
    assert ui.wait_for_run() == "Success"
    ui.picture("run-again")
    ui.open_partition("reconciliation_summary", "AXIONE|2024-02")
    assert ui.figures()["state"] == "EVALUATED"
    assert _summary(dev, "AXIONE", "2024-02")["state"] == "EVALUATED"
