"""A first load reads its file once; where the file's end contradicts its beginning nothing of that reading is left."""

import pytest

from billing_pipeline.r189 import bytestream
from billing_pipeline_tests.integration.test_loading_order import (
    Loading,
    loading,
    loading_server,
    new_loading,
    of_month,
    pytestmark,
)
from billing_pipeline_tests.r189.charge_file import text_of

__all__ = ["loading", "loading_server", "new_loading", "pytestmark"]

NAME = "R189_202403.csv"
# Rows of 1 KB, enough of them that the first block does not hold the last row.
COUNT = bytestream.BLOCK_BYTES // 1000


def long_file(last: dict[str, str], encoding: str = "utf-8") -> bytes:
    header, _, first = text_of(
        [of_month("2024-03", "I-1", "20.50", Site_name="x" * 900, Site_address="", Invoice_Contact="")]
    ).partition("\n")
    end = text_of([of_month("2024-03", "I-2", "20.50", **last)]).partition("\n")[2]
    return f"{header}\n{first * COUNT}{end}".encode(encoding)


def test_the_first_load_of_a_long_file_is_all_of_it(loading: Loading) -> None:
    loading.drop(NAME, long_file({}))
    outcome = loading.run("2024-03")
    assert (outcome.complete, outcome.counts.read, outcome.rows["invoice_lines"]) == (True, COUNT + 1, COUNT + 1)
    assert [one["line_count"] for one in loading.rows("invoices")] == [COUNT, 1]
    again = loading.run("2024-03")
    assert (again.replaced, again.complete) == (False, True), "read twice, it says what it said when it was read once"


def test_a_file_whose_last_row_is_of_another_style_is_refused_and_leaves_no_row(loading: Loading) -> None:
    loading.drop(NAME, long_file({"Invoice_Date": "14/04/2024"}))
    outcome = loading.run("2024-03")
    assert not outcome.complete
    assert "two styles" in (outcome.detail or "")
    assert NAME in (outcome.detail or "")
    assert loading.rows("invoice_lines") == []
    assert loading.rows("line_allocations") == []


def test_a_file_whose_last_row_is_not_utf8_is_loaded_in_the_encoding_it_has(loading: Loading) -> None:
    loading.drop(NAME, long_file({"Site_City": "Nîmes"}, "windows-1252"))
    outcome = loading.run("2024-03")
    assert (outcome.complete, outcome.rows["invoice_lines"]) == (True, COUNT + 1)
    assert {one["invoice_id"] for one in loading.rows("invoice_lines")} == {"I-1", "I-2"}


def test_the_file_is_long_enough_for_all_of_this() -> None:
    assert len(long_file({})) > bytestream.BLOCK_BYTES


@pytest.mark.parametrize("period", ["2024-02", "2024-04"])
def test_an_invoice_of_another_month_counts_where_it_came_first(loading: Loading, period: str) -> None:
    loading.drop(f"R189_{period.replace('-', '')}.csv", text_of([of_month(period, "I-1", "3.00")]).encode())
    loading.run(period)
    loading.drop(NAME, text_of([of_month("2024-03", "I-1", "5.00"), of_month("2024-03", "I-2", "7.00")]).encode())
    outcome = loading.run("2024-03")
    earlier = period < "2024-03"
    assert outcome.counts.superseded == (1 if earlier else 0)
    assert outcome.reloaded == (() if earlier else (period,))
    assert loading.run("2024-03").replaced is False
