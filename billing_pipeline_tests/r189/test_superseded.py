"""Rows that another document's copy supersedes: out under that check alone, whatever else they break, none lost."""

import random

import pytest

from billing_pipeline.config import Profile
from billing_pipeline.r189.reader import R189File
from billing_pipeline.r189.rejections import KEPT
from billing_pipeline.r189.superseded import superseded_rows
from billing_pipeline_tests.r189.charge_file import HEADERS, row, text_of

WHY = {"A": "the invoice counts elsewhere"}


def read(tmp_path, content: str | bytes, superseded=WHY, rows_per_batch: int = 1000):  # type: ignore[no-untyped-def]
    path = tmp_path / "x.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    file = R189File(path, Profile(), name="x.csv")
    batches = list(file.batches(rows_per_batch, superseded))
    assert sum(one.rows for one in batches) == file.rows
    charges = [row for one in batches for row in one.charges.to_pylist()]
    rejected = [row for one in batches for row in one.rejected.to_pylist()]
    months = [month for one in batches for month in one.charge_months.to_pylist()]
    return file, charges, rejected, months


@pytest.mark.parametrize("rows_per_batch", [1, 2, 1000])
def test_a_superseded_row_is_rejected_once_whatever_else_it_breaks(tmp_path, rows_per_batch):
    broken = row(Invoice_number="A", Tax_rate="twenty", Charge_Currency="EURO")
    rows = [broken, row(Invoice_number=" A "), row(Invoice_number="B", Tax_rate="twenty"), row(Invoice_number="B")]
    file, charges, rejected, _ = read(tmp_path, text_of(rows), rows_per_batch=rows_per_batch)
    assert [one["source_row"] for one in charges] == [4]
    assert [(one["source_row"], one["column_name"], one["check_name"]) for one in rejected] == [
        (1, "", "superseded"),
        (2, "", "superseded"),
        (3, "Tax rate", "type"),
    ]
    assert [one["message"] for one in rejected[:2]] == [WHY["A"]] * 2
    assert file.invoices == {"A": 2, "B": 2}


def test_a_superseded_row_keeps_its_text_without_personal_data(tmp_path):
    _, _, rejected, _ = read(tmp_path, text_of([row(Invoice_number="A"), row()]))
    assert "INV-1" not in rejected[0]["raw"]
    assert "Zoé Durand" not in rejected[0]["raw"]
    assert "***" in rejected[0]["raw"]
    assert (rejected[0]["invoice_id"], rejected[0]["serial_number"]) == ("A", "SN-1")


def test_a_row_with_a_nul_byte_of_a_superseded_invoice_is_superseded(tmp_path):
    content = text_of([row(Invoice_number="A", Site_name="x\0y"), row()])
    file, charges, rejected, _ = read(tmp_path, content)
    assert [one["check_name"] for one in rejected] == ["superseded"]
    assert (len(charges), file.invoices) == (1, {"A": 1, "INV-1": 1})


def test_a_row_whose_invoice_cannot_be_told_stays_what_it_is(tmp_path):
    content = text_of([row(Invoice_number="A")]) + "A;too;few\n"
    file, _, rejected, _ = read(tmp_path, content)
    assert [one["check_name"] for one in rejected] == ["superseded", "field_count"]
    assert (file.rows, file.invoices) == (2, {"A": 1})


def test_what_a_file_is_for_does_not_depend_on_other_files(tmp_path):
    rows = [row(Invoice_number="A", Charge_Month="2024-04"), row(), row(Charge_Month="2024-05", Tax_rate="twenty")]
    for superseded in (WHY, {}):
        _, _, _, months = read(tmp_path, text_of(rows), superseded)
        assert sorted(months) == ["2024-03", "2024-04"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252"])
def test_the_text_made_for_many_rows_is_the_text_of_each(tmp_path, newline, encoding):
    """Rows beside each other and apart, with and without quotes, blank lines between, a column of the file's own."""
    chance = random.Random(newline + encoding)
    headers = (*HEADERS, "Own column")
    rows = [
        {
            **row(
                Invoice_number=chance.choice(["A", " A", "B"]),
                Site_name=chance.choice(["", "plain", "Nîmes; " + newline + "Gard", 'with "quotes"', "  ", "6' rack"]),
                Phone_Number=chance.choice(["", "+33 1"]),
                Serial_Number=chance.choice(["", " ", "SN-1 "]),
            ),
            "Own column": chance.choice(["", "é"]),
        }
        for _ in range(200)
    ]
    records = [text_of([one], headers, newline).partition(newline)[2] for one in rows]
    content = newline.join([";".join(headers), "".join(one + newline * chance.choice([0, 0, 1]) for one in records)])
    path = tmp_path / "x.csv"
    path.write_bytes(content.encode(encoding))
    file = R189File(path, Profile(), name="x.csv")
    pieces = list(file.pieces())
    made = [superseded_rows(one, WHY, file.sha256).to_pylist() for one in pieces]
    exact = [
        {"source_row": int(piece.rows[at]), "raw": piece.text(at).raw, "keys": piece.text(at).keys}
        for piece in pieces
        for at in range(piece.cells.num_rows)
        if piece.text(at).invoice_number == "A"
    ]
    found = [
        {"source_row": one["source_row"], "raw": one["raw"], "keys": tuple(one[name] for name in KEPT)}
        for rows in made
        for one in rows
    ]
    assert found == exact
    assert 80 < len(found) < 180
    assert any('"' in one["raw"] for one in found)
