"""Charge files as operators really send them: every verdict worked out by hand, and all of it against the reference."""

import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from billing_pipeline.periods import Period
from billing_pipeline_tests.pipeline.against_reference import unlike, unlike_statuses
from billing_pipeline_tests.pipeline.awkward_verdicts import EXPECTED, RIGHT, Expected
from billing_pipeline_tests.pipeline.places import Place
from billing_pipeline_tests.pipeline.tables import Row, unlike_in_parquet

QUARTER = [Period(2024, month) for month in (1, 2, 3)]
EVALUATED = [*((code, period) for code in ("BRIO", "CAPRI") for period in QUARTER),
             ("DELTA", Period(2024, 3)), ("ECLAT", Period(2024, 3))]  # fmt: skip
SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "sample"


def _subject(row: Row) -> str:
    """The item without its file's hash: `line:BR-01-B:17`."""
    if row["side"] == "service" or row["item_id"].startswith("service:"):
        return str(row["item_id"])
    invoice, line = row["item_id"].rsplit(":", 1)
    return f"{invoice}:{int(line.rpartition('-')[2])}"


@pytest.fixture(scope="module")
def items(awkward: Place) -> dict[tuple[str, str, str], Row]:
    return {
        (row["operator_code"], row["period"], _subject(row)): row
        for row in awkward.query("SELECT * FROM billing.reconciliation_items")
    }


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda one: f"{one[0]} {one[1]} {one[2]} {one[6]}")
def test_a_wrong_line_gets_the_verdict_worked_out_by_hand(
    items: dict[tuple[str, str, str], Row], expected: Expected
) -> None:
    operator, period, subject, status, reason, difference, because = expected
    item = items[operator, period, subject]
    assert (item["status"], item["reason_code"], item["difference"]) == (status, reason, difference), because


@pytest.mark.parametrize("right", RIGHT, ids=lambda one: f"{one[0]} {one[1]} {one[2]} {one[4]}")
def test_an_awkward_line_that_is_right_is_not_accused(
    items: dict[tuple[str, str, str], Row], right: tuple[str, str, str, str, str]
) -> None:
    operator, period, subject, billed, because = right
    item = items[operator, period, subject]
    assert (item["status"], item["reason_code"], item["invoice_amount"]) == ("MATCHED", None, Decimal(billed)), because


def test_nothing_else_is_accused(items: dict[tuple[str, str, str], Row]) -> None:
    accused = {key for key, item in items.items() if (item["status"], item["reason_code"]) != ("MATCHED", None)}
    assert accused == {expected[:3] for expected in EXPECTED}


def test_every_reason_and_status_occurs_in_these_files() -> None:
    reasons = {expected[4] for expected in EXPECTED}
    assert reasons == {
        "NOT_BILLED", "LINE_REJECTED", "ROUNDING", "BILLED_AFTER_TERMINATION", "BILLED_BEFORE_ACTIVATION",
        "UNKNOWN_SERVICE", "AMBIGUOUS_SERVICE", "UNEXPECTED_CHARGE", "CURRENCY_MISMATCH", "DUPLICATE_LINE", "PRORATION",
        "STALE_PRICE", "DISCOUNT_MISSING", "PRICE_MISMATCH", "UNEXPLAINED",
    }  # fmt: skip


def test_everything_stored_is_what_the_reference_works_out(awkward: Place) -> None:
    assert unlike(awkward, [*QUARTER, Period(2024, 4)], [*EVALUATED, ("ECLAT", Period(2024, 4))]) == {}
    assert unlike_statuses(awkward, [*QUARTER, Period(2024, 4)]) == {}


def test_parquet_says_what_postgresql_says(awkward: Place) -> None:
    assert unlike_in_parquet(awkward.folder, awkward.stored()) == {}


def test_a_formula_in_a_site_name_stays_the_text_it_is(awkward: Place) -> None:
    path = awkward.folder / "data/parquet/r189_charges/period=2024-01/operator_code=BRIO/data.parquet"
    charges = {row["source_row"]: row for row in pq.ParquetFile(path).read().to_pylist()}
    assert charges[1]["site_name"] == "=1+1"
    assert charges[1]["charge_description"] == 'Abonnement "pro"; étage 3\nbâtiment B'


def test_a_file_under_a_second_name_is_read_once(awkward: Place) -> None:
    """R189_BRIO_202403.csv and its _bis have the same bytes: 20 rows, not 40, under the greater name."""
    (summary,) = awkward.query(
        "SELECT files, rows_read FROM billing.reconciliation_summary WHERE operator_code = 'BRIO' AND period = '2024-03'"
    )
    assert summary == {"files": 1, "rows_read": 20}
    (document,) = awkward.query(
        "SELECT location FROM billing.source_documents WHERE operator_code = 'BRIO' AND period = '2024-03'"
        " AND collected_count IS NOT NULL"
    )
    assert document["location"].endswith("R189_BRIO_202403_bis.csv")


def test_an_invoice_number_met_again_in_a_later_month_counts_once_and_is_told(awkward: Place) -> None:
    """R189_BRIO_202402.csv.gz row 20 repeats BR-01-A with 30.00 instead of its 153.52."""
    assert awkward.query(
        "SELECT period, count(*) AS lines, sum(total_ht) AS total FROM billing.invoice_lines"
        " WHERE operator_code = 'BRIO' AND invoice_id = 'BR-01-A' GROUP BY period"
    ) == [{"period": "2024-01", "lines": 6, "total": Decimal("153.52")}]
    assert awkward.query(
        "SELECT source_row FROM billing.rejected_rows WHERE check_name = 'superseded' AND operator_code = 'BRIO'"
    ) == [{"source_row": 20}]
    assert awkward.query("SELECT period, invoice_id, line_id, code FROM billing.invoice_findings") == [
        {"period": "2024-02", "invoice_id": "BR-01-A", "line_id": "", "code": "DUPLICATE_INVOICE"}
    ]


def test_too_many_rejected_rows_give_no_verdict(awkward: Place) -> None:
    """R189_ECLAT_202404.csv: row 2 of 2 has 'quarante' for an amount, 50 % where 1 % is allowed."""
    (summary,) = awkward.query(
        "SELECT * FROM billing.reconciliation_summary WHERE operator_code = 'ECLAT' AND period = '2024-04'"
    )
    assert (summary["state"], summary["rows_read"], summary["rows_rejected"]) == ("NOT_EVALUATED", 2, 1)
    assert "1 of 2 rows" in summary["state_detail"]
    assert summary["total_services"] is None
    assert summary["invoice_amount"] is None
    rows = {
        table: awkward.query(
            f"SELECT count(*) AS n FROM billing.{table} WHERE operator_code='ECLAT' AND period='2024-04'"
        )
        for table in ("reconciliation_items", "invoice_lines", "services")
    }
    assert [found[0]["n"] for found in rows.values()] == [0, 1, 3]


def test_columns_and_operators_nobody_knows_are_told_and_not_dropped_in_silence(awkward_runs: list[str]) -> None:
    assert any("unknown columns are not used: note" in text for text in awkward_runs)
    assert any("1 services of FERMEE are left out" in text for text in awkward_runs)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"no sample of charge files at {SAMPLE}")
def test_files_made_outside_the_project_come_out_as_the_reference_works_out(new_place: Callable[[], Place]) -> None:
    place = new_place()
    shutil.copytree(SAMPLE, place.folder, dirs_exist_ok=True)
    periods = [Period(2024, month) for month in (1, 2, 3, 4)]
    ended = place.command("run", *(word for period in periods for word in ("--period", str(period))))
    assert ended.code in (0, 3), ended.err
    assert unlike(place, periods, [(code, period) for code in ("AXIONE", "ALTITUDE") for period in periods]) == {}
    assert unlike_statuses(place, periods) == {}
    assert unlike_in_parquet(place.folder, place.stored()) == {}
