"""What the hub's documents hold that no table can, or hold twice: told by line or invoice, never a crash, never a lost line."""

import json
from typing import Any

import pyarrow as pa
import pytest

from billing_pipeline.config import Profile
from billing_pipeline.errors import RefusedFile
from billing_pipeline.normalize.netwo_invoices import NetwoRows, read_invoice
from billing_pipeline.normalize.r189_lines import LINES
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.tables import INVOICES, REJECTED_ROWS

ENTRY = {
    "invoiceId": "INV-1", "operator": {"code": "SFR", "name": "SFR"}, "period": "2024-03", "currency": "EUR",
    "receivedAt": "2024-04-05T00:00:00Z",
}  # fmt: skip
HALF = "Fibre \ud83d"


def line(number: int, **fields: Any) -> dict[str, Any]:
    return {"lineId": f"LN-{number}", "serviceId": f"SVC-{number}", "description": "Fibre", "totalHT": 25, **fields}


def read(lines: list[dict[str, Any]], **entry: Any) -> NetwoRows:
    """The invoice, its rows put into the columns they are stored in."""
    body = json.dumps({"invoiceId": "INV-1", "lines": lines, "totalHT": 25 * len(lines)}).encode()
    rows = read_invoice(
        body, location="https://hub/INV-1", sha256="a" * 64, entry={**ENTRY, **entry}, profile=Profile()
    )
    for found, schema in (
        (rows.invoices, content_schema(INVOICES)),
        (rows.lines, LINES),
        (rows.rejected, content_schema(REJECTED_ROWS)),
    ):
        assert pa.Table.from_pylist(found, schema=schema).num_rows == len(found)
    return rows


def test_a_line_sent_twice_does_not_stand_for_the_one_that_is_missing():
    """One of 300 is less than the share of rows that may be rejected, so that only the count tells."""
    lines = [line(number) for number in range(300)]
    assert read(lines, lineCount=300).gaps == []
    rows = read([*lines[:-1], lines[0]], lineCount=300)
    assert rows.gaps == ["invoice INV-1 declares 300 lines, 299 arrived"]
    assert (len(rows.lines), [row["check_name"] for row in rows.rejected]) == (299, ["unique"])
    assert read([*lines, lines[0]], lineCount=300).gaps == [], "all that were declared are there"


@pytest.mark.parametrize("field", ["lineId", "serviceId", "description"])
def test_half_a_surrogate_pair_rejects_its_line_and_no_other(field):
    rows = read([line(1, **{field: HALF}), line(2)])
    assert [row["line_id"] for row in rows.lines] == ["LN-2"]
    (rejected,) = rows.rejected
    assert (rejected["column_name"], rejected["source_row"]) == (field, 1)
    assert "\\ud83d" in rejected["raw"]


def test_half_a_surrogate_pair_in_a_field_nobody_reads_is_no_fault_of_its_line():
    assert len(read([line(1, comment=HALF)]).lines) == 1


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"operator": {"code": "SFR", "name": HALF}}, "'name' holds half of a surrogate pair"),
        ({"operator": {"code": "SFR", "name": 5}}, "'name' is not a text"),
        ({"reconciliationStatus": HALF}, "'reconciliationStatus' holds half of a surrogate pair"),
        ({"lineCount": 2**31}, "'lineCount' is not a count"),
    ],
)
def test_a_list_entry_that_no_table_holds_is_refused_by_its_field(entry, told):
    with pytest.raises(RefusedFile, match=told) as caught:
        read([line(1)], **entry)
    assert str(caught.value).startswith("https://hub/INV-1: ")
    assert str(caught.value).isprintable()
