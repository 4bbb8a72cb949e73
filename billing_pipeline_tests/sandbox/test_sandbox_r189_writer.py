"""R189 files in every dialect, read back with nothing but Python's csv."""

import csv
import datetime as dt
import gzip
import io
import itertools
from decimal import Decimal

import pytest

from billing_pipeline.config import ChargeMonthFormat, DateFormat
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.r189_rows import r189_rows
from billing_pipeline.sandbox.r189_writer import CREDIT_NOTE, HEADERS, QUARTERLY, Dialect, Percent, Row, render_r189
from billing_pipeline.sandbox.reseller import generate_reseller

ROW: Row = {
    "Invoice number": "FA-1",
    "Document type": CREDIT_NOTE,
    "Invoice Date": dt.date(2024, 3, 5),
    "Charge Month": Period(2024, 3),
    "Frequency": QUARTERLY,
    "Taxable amount": Decimal("-12345.60"),
    "Tax rate": Percent(Decimal("20")),
    "Number of days": 31,
    "Site name": 'Garage "Le Chêne"; Fils',
    "Site address": "12, rue de l'Église\nBâtiment B",
}


def _read(content: bytes, dialect: Dialect) -> list[dict[str, str]]:
    data = gzip.decompress(content) if dialect.gzip else content
    text = data.decode(dialect.encoding)
    header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True)
    assert all(len(row) == len(header) for row in rows)
    return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "windows-1252"])
def test_separators_quotes_and_line_breaks_do_not_shift_a_column(encoding: str, newline: str, compressed: bool) -> None:
    dialect = Dialect(encoding=encoding, newline=newline, gzip=compressed)  # type: ignore[arg-type]
    rows = _read(render_r189([ROW, ROW], dialect), dialect)
    assert len(rows) == 2
    assert tuple(rows[0]) == HEADERS
    assert rows[1]["Site name"] == ROW["Site name"]
    assert rows[1]["Site address"] == ROW["Site address"]
    assert rows[1]["Serial Number"] == ""


@pytest.mark.parametrize(
    ("decimal", "group", "written"),
    [
        (".", "", "-12345.60"), (".", ",", "-12,345.60"), (",", "", "-12345,60"), (",", " ", "-12 345,60"),
        (",", "\u00a0", "-12\u00a0345,60"), (",", "\u202f", "-12\u202f345,60"),
    ],
)  # fmt: skip
def test_an_amount_keeps_its_digits_in_every_style(decimal: str, group: str, written: str) -> None:
    dialect = Dialect(decimal=decimal, group=group)  # type: ignore[arg-type]
    assert _read(render_r189([ROW], dialect), dialect)[0]["Taxable amount"] == written


@pytest.mark.parametrize(
    ("style", "written"),
    [
        (DateFormat.ISO, "2024-03-05"), (DateFormat.DAY_FIRST, "05/03/2024"), (DateFormat.MONTH_FIRST, "03/05/2024"),
        (DateFormat.DAY_MONTH_NAME, "05-MAR-2024"), (DateFormat.COMPACT, "20240305"),
    ],
)  # fmt: skip
def test_a_date_is_written_in_the_style_named(style: DateFormat, written: str) -> None:
    dialect = Dialect(date_format=style)
    assert _read(render_r189([ROW], dialect), dialect)[0]["Invoice Date"] == written


@pytest.mark.parametrize(
    ("style", "written"),
    [
        (ChargeMonthFormat.ISO, "2024-03"), (ChargeMonthFormat.COMPACT, "202403"),
        (ChargeMonthFormat.MONTH_FIRST, "03/2024"), (ChargeMonthFormat.MONTH_NAME, "MAR-24"),
    ],
)  # fmt: skip
def test_a_charge_month_is_written_in_the_style_named(style: ChargeMonthFormat, written: str) -> None:
    dialect = Dialect(charge_month_format=style)
    assert _read(render_r189([ROW], dialect), dialect)[0]["Charge Month"] == written


@pytest.mark.parametrize(
    ("style", "decimal", "percent", "written"),
    [
        ("20", ".", "20", "20"), ("20.00", ",", "20", "20,00"), ("20%", ".", "8.5", "8.5%"), ("20%", ",", "20", "20%"),
        ("0.2", ",", "20", "0,2"), ("0.2", ".", "8.5", "0.085"), ("20", ".", "100", "100"), ("0.2", ".", "0", "0"),
    ],
)  # fmt: skip
def test_a_tax_rate_is_written_in_the_style_named(style: str, decimal: str, percent: str, written: str) -> None:
    dialect = Dialect(tax_rate=style, decimal=decimal)  # type: ignore[arg-type]
    row: Row = {"Tax rate": Percent(Decimal(percent))}
    assert _read(render_r189([row], dialect), dialect)[0]["Tax rate"] == written


@pytest.mark.parametrize(
    ("language", "document", "frequency"), [("en", "Credit note", "Quarterly"), ("fr", "Avoir", "Trimestriel")]
)
def test_words_follow_the_language(language: str, document: str, frequency: str) -> None:
    dialect = Dialect(language=language)  # type: ignore[arg-type]
    row = _read(render_r189([ROW], dialect), dialect)[0]
    assert (row["Document type"], row["Frequency"]) == (document, frequency)


def test_another_column_order_moves_no_value() -> None:
    dialect = Dialect(columns=tuple(reversed(HEADERS)))
    rows = _read(render_r189([ROW], dialect), dialect)
    assert tuple(rows[0])[-1] == "Customer Number"
    assert rows[0]["Invoice number"] == "FA-1"


@pytest.mark.parametrize(
    ("habits", "named"),
    [
        ({"decimal": ".", "group": " "}, "decimal sign"),
        ({"decimal": ",", "group": ","}, "decimal sign"),
        ({"columns": ("Nowhere",)}, "Nowhere"),
        ({"encoding": "windows-1252", "decimal": ",", "group": "\u202f"}, "U.202F"),
    ],
)
def test_a_dialect_that_contradicts_itself_is_refused(habits: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Dialect(**habits)  # type: ignore[arg-type]


def test_a_character_the_encoding_lacks_is_not_replaced_in_silence() -> None:
    with pytest.raises(UnicodeEncodeError):
        render_r189([{"Site name": "東京"}], Dialect(encoding="windows-1252"))


def test_the_demo_files_hold_every_line_of_their_invoices() -> None:
    reseller = generate_reseller()
    for operator, period in itertools.product(reseller.operators, reseller.periods):
        if operator.source != "r189_files":
            continue
        dialect = operator.file_dialect(period)
        invoices = reseller.invoices[operator.code, period]
        content = render_r189(r189_rows(invoices, unsigned_credits=dialect.unsigned_credits), dialect)
        rows = _read(content, dialect)
        assert [row["Invoice number"] for row in rows] == [i.invoice_id for i in invoices for _ in i.charges]
        total = Decimal(0)
        for row, charge in zip(rows, (c for i in invoices for c in i.charges), strict=True):
            sign = Decimal(-1) if dialect.unsigned_credits and charge.amount < 0 else Decimal(1)
            written = row["Taxable amount"].replace(" ", "").replace(",", ".")
            if charge.unreadable:
                assert written == charge.unreadable
                continue
            total += sign * Decimal(written)
            assert any(
                row[key] for key in ("Installed Offer ID", "External Reference", "Serial Number", "Order reference")
            )
        assert total == sum(invoice.total_ht for invoice in invoices)


def test_the_demo_files_hold_what_breaks_careless_readers() -> None:
    reseller = generate_reseller()
    rows = [row for (code, _), found in reseller.invoices.items() if code != "SFR" for row in r189_rows(found)]
    text = [str(cell) for row in rows for cell in row.values() if isinstance(cell, str)]
    assert all(any(mark in cell for cell in text) for mark in (";", '"', "\n", "É", "œ"))
    assert any(cell.startswith("=") for cell in text)
