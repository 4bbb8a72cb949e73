"""The ways past the engine, shares within one month and invoice totals, against the engine's and a plain sum."""

import datetime as dt
import random
from decimal import Decimal
from pathlib import Path

import ibis
import pyarrow as pa
import pytest

from billing_pipeline.config import Profile
from billing_pipeline.normalize.r189_lines import LINES, InvoiceTotals, lines_of
from billing_pipeline.normalize.r189_shares import shares_within_month, spans_months
from billing_pipeline.r189.reader import R189File
from billing_pipeline.reconciliation.allocate import allocate
from billing_pipeline_tests.r189.charge_file import row, text_of

# Ibis 12 calls the old name of DuckDB 2.0's to_arrow_table(); drop when Ibis calls the new one.
pytestmark = pytest.mark.filterwarnings(r"ignore:fetch_arrow_table\(\) is deprecated:DeprecationWarning")
PERIOD = "2024-03"


def some_lines(count: int, seed: int) -> pa.RecordBatch:
    """Dated, undated, half dated, with and without a charge month, over leap days and year ends."""
    generator = random.Random(seed)
    made = []
    for number in range(count):
        first = dt.date(2023, 12, 1) + dt.timedelta(days=generator.randrange(150))
        last = first + dt.timedelta(days=generator.choice((0, 3, 20, 45)))
        dated = generator.random()
        made.append(
            {
                "invoice_id": f"I-{number % 7}", "line_id": f"x-{number:06d}", "charge_type": "recurring",
                "document_type": "invoice", "total_ht": Decimal(generator.randrange(-(10**8), 10**8)) / 100,
                "currency": generator.choice(("EUR", "USD")), "source_sha256": "ab", "source_row": number,
                "service_from": first if dated < 0.8 else None, "service_to": last if dated < 0.7 else None,
                "charge_month": generator.choice((None, "2024-02", "2023-02", "2023-12")),
                "invoicing_amount": generator.choice((None, Decimal("12.34"))), "invoicing_currency": "EUR",
            }
        )  # fmt: skip
    return pa.RecordBatch.from_pylist(made, schema=LINES)


@pytest.mark.parametrize("seed", range(3))
def test_shares_within_a_month_are_those_of_the_engine(seed: int) -> None:
    lines = some_lines(300, seed)
    spanning = spans_months(lines)
    assert spanning.any()
    within = lines.filter(pa.array(~spanning))
    ours = shares_within_month(within, PERIOD).to_pylist()
    engine = ibis.duckdb.connect()
    table = engine.create_table("lines", pa.Table.from_batches([within])).mutate(period=ibis.literal(PERIOD))
    theirs = allocate(table).drop("period").order_by("line_id").to_pyarrow().to_pylist()
    assert ours == theirs
    table = engine.create_table("all_lines", pa.Table.from_batches([lines])).mutate(period=ibis.literal(PERIOD))
    several = allocate(table).group_by("line_id").aggregate(shares=lambda t: t.count()).to_pyarrow().to_pylist()
    assert {one["line_id"] for one in several if one["shares"] > 1} == set(
        lines.filter(pa.array(spanning))["line_id"].to_pylist()
    )


def test_no_line_is_no_share() -> None:
    assert shares_within_month(some_lines(0, 0), PERIOD).num_rows == 0


def totals_of(tmp_path: Path, rows: list[dict[str, str]], rows_per_batch: int = 2) -> dict[str, dict[str, object]]:
    path = tmp_path / "x.csv"
    path.write_text(text_of(rows), encoding="utf-8")
    totals = InvoiceTotals()
    for batch in R189File(path, Profile(), name=path.name).batches(rows_per_batch):
        totals.add(batch.charges, lines_of(batch.charges))
    made = totals.invoices(operator_name="Brio", source_type="r189_files").to_pylist()
    assert made == sorted(made, key=lambda one: one["invoice_id"])
    return {one["invoice_id"]: one for one in made}


def test_an_invoice_in_several_batches_adds_up_once(tmp_path: Path) -> None:
    rows = [
        row({"Pre-discount amount": ""}, Invoice_number="A", Taxable_amount="1.10", Invoice_Date=f"2024-04-{day:02d}")
        for day in (9, 3, 7, 5, 8)
    ]
    found = totals_of(tmp_path, [*rows, row(Invoice_number=" B ")])
    assert set(found) == {"A", "B"}
    assert (found["A"]["total_ht"], found["A"]["line_count"]) == (Decimal("5.5"), 5)
    assert found["A"]["invoice_date"] == dt.date(2024, 4, 3)
    assert found["A"]["total_ttc"] is None


def test_amounts_in_two_currencies_have_no_sum(tmp_path: Path) -> None:
    found = totals_of(tmp_path, [row(Total_including_Tax="24.00"), row(), row(Charge_Currency="USD")])
    assert [found["INV-1"][name] for name in ("currency", "total_ht", "total_ttc", "line_count")] == [
        None,
        None,
        None,
        3,
    ]


def test_an_invoice_is_a_credit_note_when_every_row_of_it_is(tmp_path: Path) -> None:
    rows = [row(Invoice_number="A", Document_type="Avoir"), row(Invoice_number="B", Document_type="Avoir")]
    found = totals_of(tmp_path, [*rows, row(Invoice_number="B")])
    assert [found[number]["document_type"] for number in "AB"] == ["credit_note", "invoice"]
    assert found["A"]["total_ht"] == Decimal(-20)
