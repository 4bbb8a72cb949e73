"""Several charge files: which of them counts is decided by the files alone, not by when they were collected."""

import gzip
import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from billing_pipeline.config import load_config
from billing_pipeline.periods import Period
from billing_pipeline.schemas.tables import BY_NAME
from billing_pipeline.steps.collect import collect
from billing_pipeline.steps.load import LoadOutcome, load
from billing_pipeline.steps.reconcile import reconcile
from billing_pipeline.steps.workspace import Workspace
from billing_pipeline.storage import embedded
from billing_pipeline.storage.migrate import upgrade
from billing_pipeline.storage.servers import create_database
from billing_pipeline_tests.r189.charge_file import row, text_of
from billing_pipeline_tests.reference.folder import evaluate
from billing_pipeline_tests.storage.conftest import folder_for_a_server

# Ibis 12 calls the old name of DuckDB 2.0's to_arrow_table(); drop when Ibis calls the new one.
pytestmark = pytest.mark.filterwarnings(r"ignore:fetch_arrow_table\(\) is deprecated:DeprecationWarning")

CONFIG = """\
version: 1
first_period: "2024-01"
storage: {data_dir: ./data}
services: {inventory: ./services.csv}
operators:
  - code: BRIO
    name: Brio
    source: {type: r189_files, folder: ./inbox}
    reconciliation: {max_rejected_ratio: "0.01"}
"""
SERVICES = (
    "service_id,operator_code,description,customer_id,currency,monthly_price_ht,discount_percent,activated_on,"
    "terminated_on,installed_offer_id,external_reference,serial_number,order_reference\n"
    "S-1,BRIO,Fibre,C-1,EUR,20.00,0,2023-01-01,,,,SN-1,\n"
)
LOADED_AT = datetime(2024, 5, 6, 4, 0, tzinfo=UTC)
COMPARED = (
    "invoices", "invoice_lines", "line_allocations", "rejected_rows", "invoice_findings", "services",
    "source_documents",
)  # fmt: skip
_numbers = itertools.count()


@dataclass
class Loading:
    """One operator's folder, and the pipeline's collect and load on it."""

    workspace: Workspace
    inbox: Path

    def drop(self, name: str, rows: list[dict[str, str]] | bytes) -> None:
        content = rows if isinstance(rows, bytes) else text_of(rows).encode()
        (self.inbox / name).write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)

    def run(self, *periods: str) -> LoadOutcome:
        """Collect and load each; the outcome of the last."""
        operator = self.workspace.config.operators[0]
        for text in periods:
            run_id, period = f"run-{next(_numbers)}", Period.parse(text)
            collect(self.workspace, operator, period, run_id=run_id, from_raw=False)
            outcome = load(self.workspace, operator, period, run_id=run_id, loaded_at=LOADED_AT)
        return outcome

    def rows(self, table: str) -> list[dict[str, Any]]:
        """PostgreSQL's rows without what says which run wrote them, in key order; Parquet's must be the same."""
        dropped = ["run_id", "loaded_at"] + (["fetched_at", "profile"] if table == "source_documents" else [])
        stored = self.workspace.partitions.read(table).drop_columns(dropped)
        key = [(name, "ascending") for name in BY_NAME[table].key]
        files = self.workspace.parquet.read(BY_NAME[table]).drop_columns(dropped)
        assert files.sort_by(key).to_pylist() == stored.sort_by(key).to_pylist()
        found: list[dict[str, Any]] = stored.sort_by(key).to_pylist()
        return found

    def state(self, period: str) -> tuple[str, str | None]:
        (found,) = [one for one in self.workspace.partitions.ledger("BRIO") if one.period == period]
        return found.state, found.attempt_state


@pytest.fixture(scope="module")
def loading_server() -> Iterator[embedded.EmbeddedServer]:
    for folder in folder_for_a_server():
        yield embedded.start(folder)


@pytest.fixture
def new_loading(loading_server: embedded.EmbeddedServer, tmp_path: Path) -> Iterator[Any]:
    """Makes one with a database of its own each time it is called."""
    opened = []

    def make(max_rejected_ratio: str = "0.01") -> Loading:
        folder = tmp_path / f"place-{next(_numbers)}"
        (folder / "inbox").mkdir(parents=True)
        (folder / "billing.yaml").write_text(CONFIG.replace("0.01", max_rejected_ratio))
        (folder / "services.csv").write_text(SERVICES)
        name = f"load_{os.getpid()}_{next(_numbers)}"
        create_database(loading_server.url_for("postgres"), name)
        context = Workspace.open(
            load_config(folder / "billing.yaml"), {"BILLING_POSTGRES_URL": loading_server.url_for(name)}
        )
        opened.append(context)
        return Loading(context.__enter__(), folder / "inbox")

    yield make
    for context in opened:
        context.__exit__(None, None, None)


@pytest.fixture
def loading(new_loading: Any) -> Loading:
    made: Loading = new_loading()
    return made


def of_month(month: str, number: str, amount: str = "20.00", **also: str) -> dict[str, str]:
    cells = {
        "Invoice number": number, "Charge Month": month, "Period from": f"{month}-01", "Period to": f"{month}-28",
        "Taxable amount": amount, "Monthly price": amount, "Pre-discount amount": amount,
    }  # fmt: skip
    return row(cells, **also)


def drop_a_tangle(loading: Loading) -> None:
    """Overlaps within a month, across months, equal and different, compressed, and one dated by its rows only."""
    loading.drop("R189_202401.csv", [of_month("2024-01", "A"), of_month("2024-01", "B")])
    loading.drop("R189_202401_v2.csv.gz", [of_month("2024-01", "B", "21.00"), of_month("2024-01", "C")])
    loading.drop("R189_202401_v10.csv", [of_month("2024-01", "C"), of_month("2024-01", "D")])
    loading.drop("R189_202402.csv", [of_month("2024-02", "A", "19.00"), of_month("2024-02", "E")])
    loading.drop("fevrier.csv", [of_month("2024-02", "F"), of_month("2024-02", "G")])
    quarter = {**of_month("2024-03", "H", "100.00"), "Period from": "2024-01-01", "Period to": "2024-03-31"}
    undated = {**of_month("2024-03", "I"), "Period from": "", "Period to": ""}
    again = [of_month("2024-03", "E"), of_month("2024-03", "D", "1.00"), quarter, undated]
    loading.drop("R189_202403.csv", again)


def test_the_order_of_collection_changes_no_table(new_loading: Any) -> None:
    found = []
    for order in itertools.permutations(("2024-01", "2024-02", "2024-03")):
        loading = new_loading()
        drop_a_tangle(loading)
        loading.run(*order)
        tables = {name: loading.rows(name) for name in COMPARED}
        for document in tables["source_documents"]:
            document.pop("location")
        found.append(tables)
    for tables in found[1:]:
        assert tables == found[0]
    superseded = [one for one in found[0]["rejected_rows"] if one["check_name"] == "superseded"]
    assert len(superseded) == len(found[0]["rejected_rows"]) == 5
    duplicates = [
        (one["period"], one["invoice_id"]) for one in found[0]["invoice_findings"] if one["code"] == "DUPLICATE_INVOICE"
    ]
    assert duplicates == [("2024-01", "B"), ("2024-02", "A"), ("2024-03", "D"), ("2024-03", "E")]


def test_a_lost_database_is_given_the_last_complete_month_when_its_files_are_gone(loading: Loading) -> None:
    """What is no longer offered makes the attempt incomplete; the month is still the one that is kept."""
    loading.drop("R189_202401.csv", [of_month("2024-01", "A"), of_month("2024-01", "B")])
    loading.drop("R189_202402.csv", [of_month("2024-02", "A"), of_month("2024-02", "C")])
    loading.run("2024-01", "2024-02")
    before = {name: loading.rows(name) for name in COMPARED}
    partitions = loading.workspace.partitions
    with psycopg.connect(partitions.url) as connection:
        connection.execute("DROP SCHEMA billing CASCADE")
    upgrade(partitions.url)
    shutil.rmtree(partitions.parquet.root)
    loading.run("2024-02")
    (loading.inbox / "R189_202401.csv").unlink()
    outcome = loading.run("2024-01")
    assert "R189_202401.csv of the last complete collection is no longer offered" in (outcome.detail or "")
    assert outcome.reloaded == ("2024-02",)
    assert loading.state("2024-01") == ("complete", "incomplete")
    assert {name: loading.rows(name) for name in COMPARED} == before
    operator, period = loading.workspace.config.operators[0], Period(2024, 1)
    judged = reconcile(loading.workspace, operator, period, run_id="judged", loaded_at=LOADED_AT)
    assert judged.evaluated
    assert "no longer offered" in judged.summary["state_detail"]


def test_several_files_come_to_what_the_reference_says(loading: Loading) -> None:
    drop_a_tangle(loading)
    months = ("2024-03", "2024-01", "2024-02")
    loading.run(*months)
    expected = evaluate(loading.inbox.parent / "billing.yaml", [Period.parse(month) for month in sorted(months)])
    lines, rejected = loading.rows("invoice_lines"), loading.rows("rejected_rows")
    findings = loading.rows("invoice_findings")
    for month in months:
        evaluation = expected["BRIO", Period.parse(month)]
        ours = sorted(
            (one["invoice_id"], one["source_row"], one["total_ht"]) for one in lines if one["period"] == month
        )
        theirs = sorted((one.invoice_id, int(one.line_id.split("-")[1]), one.total_ht) for one in evaluation.lines)
        assert ours == theirs
        ours = sorted((one["source_row"], one["check_name"]) for one in rejected if one["period"] == month)
        assert ours == sorted((one.source_row, one.check_name) for one in evaluation.rejected)
        ours = sorted((one["code"], one["invoice_id"], one["difference"]) for one in findings if one["period"] == month)
        assert ours == sorted((one.code, one.invoice_id, one.difference) for one in evaluation.findings)


def test_a_corrected_redelivery_cures_a_month_with_too_many_broken_rows(loading: Loading) -> None:
    broken = [of_month("2024-01", "A", Tax_rate="twenty") for _ in range(3)]
    loading.drop("R189_202401.csv", [*broken, of_month("2024-01", "B")])
    assert not loading.run("2024-01").complete
    loading.drop("R189_202401_v2.csv", [of_month("2024-01", "A") for _ in range(3)])
    outcome = loading.run("2024-01")
    assert outcome.complete
    assert (outcome.counts.read, outcome.counts.rejected, outcome.counts.superseded) == (7, 3, 3)
    assert {one["check_name"] for one in loading.rows("rejected_rows")} == {"superseded"}
    assert [one["invoice_id"] for one in loading.rows("invoice_lines")] == ["A", "A", "A", "B"]


def test_an_earlier_month_takes_an_invoice_back_and_the_later_one_is_loaded_again(loading: Loading) -> None:
    loading.drop("R189_202402.csv", [of_month("2024-02", "A"), of_month("2024-02", "B")])
    loading.run("2024-02")
    loading.drop("R189_202401.csv", [of_month("2024-01", "A", "20.50")])
    assert loading.run("2024-01").reloaded == ("2024-02",)
    assert [(one["period"], one["invoice_id"]) for one in loading.rows("invoice_lines")] == [
        ("2024-01", "A"),
        ("2024-02", "B"),
    ]
    (finding,) = loading.rows("invoice_findings")
    assert (finding["period"], finding["code"], finding["difference"]) == (
        "2024-02",
        "DUPLICATE_INVOICE",
        Decimal("-0.5"),
    )


def test_the_same_documents_again_change_no_row(loading: Loading) -> None:
    drop_a_tangle(loading)
    assert loading.run("2024-01").replaced
    before = loading.workspace.partitions.read("invoice_lines")
    again = loading.run("2024-01")
    assert (again.replaced, again.complete, again.counts.read, again.counts.rejected) == (False, True, 6, 2)
    assert loading.workspace.partitions.read("invoice_lines").equals(before)


def test_an_incomplete_redelivery_of_a_complete_month_undoes_what_it_had_copied(loading: Loading) -> None:
    loading.drop("R189_202401.csv", [of_month("2024-01", "A"), of_month("2024-01", "B")])
    loading.run("2024-01")
    before = {name: loading.rows(name) for name in COMPARED}
    broken = [of_month("2024-01", number, Tax_rate="twenty") for number in "CDE"]
    loading.drop("R189_202401.csv", [of_month("2024-01", "A"), *broken])
    outcome = loading.run("2024-01")
    assert (outcome.complete, outcome.replaced, outcome.rows) == (False, False, {})
    assert {name: loading.rows(name) for name in COMPARED} == before
    assert loading.state("2024-01") == ("complete", "incomplete")
    assert not any(loading.workspace.parquet.staging("BRIO").glob("*"))


def test_a_file_whose_month_cannot_be_told_is_named_and_the_others_are_loaded(loading: Loading) -> None:
    loading.drop("charges.csv", [of_month("2024-01", "A"), of_month("2024-02", "B")])
    loading.drop("R189_202401.csv", [of_month("2024-01", "C")])
    outcome = loading.run("2024-01")
    assert not outcome.complete
    assert "charges.csv" in (outcome.detail or "")
    assert [one["invoice_id"] for one in loading.rows("invoice_lines")] == ["C"]
