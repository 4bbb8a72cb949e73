"""Data stays data in a spreadsheet: hostile texts, long texts, wide numbers, more rows than a sheet holds."""

import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing_pipeline.errors import StorageError
from billing_pipeline.reports.cells import Form, safe_text
from billing_pipeline.reports.sheets import Column, book

NOW = datetime(2024, 4, 6, 4, 0, tzinfo=UTC)
COLUMNS = (
    Column("Texte", "text", width=30),
    Column("Montant", "amount", Form.MONEY),
    Column("Nombre", "count", Form.INTEGER),
    Column("Jour", "day", Form.DATE),
)
HOSTILE = [
    '=HYPERLINK("http://evil.example","x")', "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1+1", "\r=1+1",
    "{=1+1}", "http://example.org", "mailto:a@b.example", "internal:Sheet1!A1", "<r><t>x</t></r>", "</t></is></c>",
    "_x0041_", "a\x00b\x07c\x1fd", "\ud800 half", "\ufffe\uffff", "  spaces  ", "line\nbreak", "1e5", "007", "TRUE",
    "#N/A", "'quoted", "é€漢字😀", "x" * 40_000, "😀" * 20_000, "",
]  # fmt: skip


def row(text: str | None = None, amount: Decimal | None = None, count: int | None = None, day: date | None = None):
    return {"text": text, "amount": amount, "count": count, "day": day}


def write(path: Path, rows, **options):
    with book(path, title="Essai", created=NOW, **options) as made:
        made.table("Feuille", COLUMNS, rows)
    return openpyxl.load_workbook(path)


def test_no_text_becomes_a_formula_a_link_or_a_number(tmp_path):
    opened = write(tmp_path / "a.xlsx", [row(text) for text in HOSTILE])
    cells = [line[0] for line in opened["Feuille"].iter_rows(min_row=2)]
    assert len(cells) == len(HOSTILE)
    for cell, text in zip(cells, HOSTILE, strict=True):
        if text == "":
            continue
        assert cell.data_type in ("s", "inlineStr"), text[:40]
        assert cell.hyperlink is None
        assert isinstance(cell.value, str)
    # An apostrophe before what a spreadsheet would take for a formula once it is edited.
    guarded = {text for cell, text in zip(cells, HOSTILE, strict=True) if cell.style and cell.quotePrefix}
    assert guarded == {text for text in HOSTILE if text.startswith(("=", "+", "-", "@", "\t", "\r"))}


def test_texts_come_back_as_they_were_but_for_what_a_sheet_cannot_hold(tmp_path):
    kept = [text for text in HOSTILE if text and len(text) < 100 and safe_text(text) == text]
    assert len(kept) > 12
    opened = write(tmp_path / "a.xlsx", [row(text) for text in kept])
    values = [line[0].value for line in opened["Feuille"].iter_rows(min_row=2)]
    unescaped = [openpyxl.utils.escape.unescape(value) for value in values]
    assert unescaped == kept


def test_no_formula_stands_in_the_file_and_every_part_is_xml(tmp_path):
    write(tmp_path / "a.xlsx", [row(text) for text in HOSTILE])
    with zipfile.ZipFile(tmp_path / "a.xlsx") as archive:
        for name in archive.namelist():
            tree = ElementTree.fromstring(archive.read(name))
            assert not [one.tag for one in tree.iter() if one.tag.endswith("}f")]


def test_a_text_too_long_for_a_cell_is_cut_and_says_so(tmp_path):
    opened = write(tmp_path / "a.xlsx", [row("x" * 40_000), row("😀" * 20_000)])
    for cell in opened["Feuille"]["A"][1:]:
        assert cell.value.endswith("… (tronqué)")
        assert len(cell.value.encode("utf-16-le")) // 2 <= 32_767


AMOUNTS = st.decimals(min_value=-(10**12), max_value=10**12, places=2)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(AMOUNTS, min_size=1, max_size=50))
def test_an_amount_comes_back_to_the_cent(tmp_path, amounts):
    opened = write(tmp_path / "a.xlsx", [row(amount=amount) for amount in amounts])
    cells = [line[1] for line in opened["Feuille"].iter_rows(min_row=2)]
    assert [Decimal(str(cell.value)).quantize(Decimal("0.01")) for cell in cells] == amounts
    assert {cell.data_type for cell in cells} == {"n"}
    assert {cell.number_format for cell in cells} == {"#,##0.00####"}


def test_a_number_that_excel_would_round_is_written_as_text(tmp_path):
    opened = write(tmp_path / "a.xlsx", [row(amount=Decimal("123456789012.123456")), row(amount=Decimal("0.100000"))])
    wide, narrow = opened["Feuille"]["B"][1:]
    assert (wide.value, wide.data_type) == ("123456789012.123456", wide.data_type)
    assert wide.data_type in ("s", "inlineStr")
    assert (narrow.value, narrow.data_type) == (0.1, "n")


def test_dates_are_dates_and_what_excel_has_no_date_for_is_text(tmp_path):
    opened = write(tmp_path / "a.xlsx", [row(day=date(2024, 2, 29)), row(day=date(1899, 1, 1)), row("no day")])
    good, old, none = opened["Feuille"]["D"][1:]
    assert (good.value.date(), good.number_format) == (date(2024, 2, 29), "dd/mm/yyyy")
    assert old.value == "1899-01-01"
    assert none.value is None


def test_a_sheet_has_a_header_that_stays_a_filter_and_widths(tmp_path):
    sheet = write(tmp_path / "a.xlsx", [row("a", Decimal(1), 1, date(2024, 1, 1))] * 3)["Feuille"]
    assert [cell.value for cell in sheet[1]] == ["Texte", "Montant", "Nombre", "Jour"]
    assert sheet.freeze_panes == "B2"
    assert sheet.auto_filter.ref == "A1:D4"
    assert sheet.column_dimensions["A"].width == pytest.approx(30, abs=1)


def test_an_empty_table_is_its_header(tmp_path):
    sheet = write(tmp_path / "a.xlsx", [])["Feuille"]
    assert sheet.max_row == 1
    assert sheet.auto_filter.ref == "A1:D1"


def test_rows_beyond_a_sheet_go_on_in_the_next_and_none_is_lost(tmp_path):
    opened = write(tmp_path / "a.xlsx", [row(count=number) for number in range(25)], rows_per_sheet=10)
    assert opened.sheetnames == ["Feuille", "Feuille (2)", "Feuille (3)"]
    numbers = [line[2].value for sheet in opened for line in sheet.iter_rows(min_row=2)]
    assert numbers == list(range(25))
    assert [sheet.auto_filter.ref for sheet in opened] == ["A1:D11", "A1:D11", "A1:D6"]


def test_the_same_rows_make_the_same_bytes(tmp_path):
    rows = [row("a", Decimal("1.50"), 3, date(2024, 1, 1))]
    write(tmp_path / "a.xlsx", rows)
    write(tmp_path / "b.xlsx", rows)
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_a_workbook_that_fails_half_way_leaves_the_old_one_and_nothing_else(tmp_path):
    write(tmp_path / "a.xlsx", [row("old")])
    before = (tmp_path / "a.xlsx").read_bytes()

    def rows():
        yield row("new")
        raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        write(tmp_path / "a.xlsx", rows())
    assert (tmp_path / "a.xlsx").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.xlsx"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "exports").write_text("a file where a folder should be")
    with (
        pytest.raises(StorageError, match=r"exports.*cannot be written"),
        book(tmp_path / "exports" / "a.xlsx", title="", created=NOW),
    ):
        pass
