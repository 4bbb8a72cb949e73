"""The reader of charge files: CSV corners, styles, row rules, signs and words. Small files written by hand."""

import datetime as dt
import gzip
from decimal import Decimal
from typing import Any

import pytest

from billing_pipeline.config import DateFormat, Profile
from billing_pipeline.periods import Period
from billing_pipeline_tests.reference.examples import HEADERS, row
from billing_pipeline_tests.reference.r189 import ChargeFile, line_of, read_file

DIGEST = "0a1b2c3d" + "0" * 56


def read(
    *rows: str, header: str = ";".join(HEADERS), end: str = "\r\n", name: str = "x.csv", **profile: Any
) -> ChargeFile:
    content = end.join([header, *rows, ""]).encode()
    return read_file(name, DIGEST, content, Profile(**profile))


def faults(file: ChargeFile) -> list[tuple[int, str, str]]:
    assert file.refused is None
    assert file.rows == len(file.charges) + len({one.source_row for one in file.rejected})
    return [(one.source_row, one.column_name, one.check_name) for one in file.rejected]


def test_a_plain_row_becomes_a_line() -> None:
    file = read(row(Period_from="2024-03-01", Period_to="2024-03-31", Tax_rate="20"))
    (line,) = [line_of(file, charge, "AXIONE", Period(2024, 3)) for charge in file.charges]
    assert (line.invoice_id, line.line_id, line.source_row) == ("I-1", "0a1b2c3d-000001", 1)
    assert (line.total_ht, line.currency, line.charge_type, line.document_type) == (
        Decimal("25"),
        "EUR",
        "recurring",
        "invoice",
    )
    assert (line.service_from, line.service_to, line.charge_month) == (
        dt.date(2024, 3, 1),
        dt.date(2024, 3, 31),
        "2024-03",
    )
    assert (line.installed_offer_id, line.tax_rate, line.external_reference) == ("OFR-1", Decimal("20"), None)


def test_quotes_hold_separators_and_line_breaks_and_blank_lines_are_no_rows() -> None:
    file = read(
        row(Charge_Description='"a;b ""c""\nd"'), "", row(Charge_Description='say "x"'), row(Taxable_amount="n/a")
    )
    assert [charge.cells["Charge Description"] for charge in file.charges] == ['a;b "c"\nd', 'say "x"']
    assert faults(file) == [(3, "Taxable amount", "type")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_ends_a_record(end: str) -> None:
    assert len(read(row(), row(), end=end).charges) == 2


def test_mixed_line_ends_are_refused() -> None:
    assert read(row() + "\n" + row()).refused is not None


def test_broken_quotes_and_nul_reject_their_record_only() -> None:
    file = read(row(), row(Charge_Description='"a"b'), row(Charge_Description="a\0b"), row(Charge_Description='"open'))
    assert faults(file) == [(2, "", "quote"), (3, "", "nul"), (4, "", "quote")]
    assert len(file.charges) == 1


def test_a_short_row_is_not_padded_and_its_keys_are_not_guessed() -> None:
    file = read(row(), row() + ";extra", row(Taxable_amount=""))
    assert faults(file) == [(2, "", "field_count"), (3, "Taxable amount", "required")]
    assert [one.keys.get("installed_offer_id") for one in file.rejected] == [None, "OFR-1"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"Document_type": " "}, ("Document type", "required")),
        ({"Document_type": "Devis"}, ("Document type", "vocabulary")),
        ({"Frequency": "Parfois"}, ("Frequency", "vocabulary")),
        ({"Charge_Currency": "EURO"}, ("Charge Currency", "currency")),
        ({"Pre-discount_amount": "30", "Discount_amount": "4.98"}, ("Taxable amount", "arithmetic")),
        ({"Period_from": "2024-03-01"}, ("Period to", "period_order")),
        ({"Period_from": "2024-03-02", "Period_to": "2024-03-01"}, ("Period to", "period_order")),
        ({"Period_from": "2014-03-31", "Period_to": "2024-03-01"}, ("Period to", "span")),
        ({"Period_from": "2024-02-30", "Period_to": "2024-03-01"}, ("Period from", "type")),
        ({"Taxable_amount": "1.1234567"}, ("Taxable amount", "scale")),
        ({"Taxable_amount": "1234567890123"}, ("Taxable amount", "digits")),
    ],
)
def test_each_row_rule_rejects_its_row(changes: dict[str, str], fault: tuple[str, str]) -> None:
    file = read(row(Period_from="2024-03-01", Period_to="2024-03-31"), row(**changes))
    assert faults(file) == [(2, *fault)]


def test_what_lies_just_inside_a_rule_is_loaded() -> None:
    inside = [
        row(**{"Pre-discount_amount": "30", "Discount_amount": "4.99"}),
        row(Period_from="2014-04-30", Period_to="2024-03-01"),
        row(Taxable_amount="123456789012.123456", Exchange_rate="1.123456789012"),
    ]
    assert faults(read(*inside)) == []


def test_a_credit_is_negative_however_it_is_signed() -> None:
    written = [
        row(Document_type="avoir", Taxable_amount=text, Monthly_price="25.00")
        for text in ("25.00", "-25.00", "(25.00)")
    ]
    file = read(*written)
    assert [charge.cells["Taxable amount"] for charge in file.charges] == [Decimal("-25")] * 3
    assert [charge.cells["Monthly price"] for charge in file.charges] == [Decimal("25")] * 3


def test_a_blank_frequency_recurs_where_there_is_a_monthly_price() -> None:
    file = read(row(Frequency="", Monthly_price="25.00"), row(Frequency=""), row(Frequency=" usage "))
    assert [charge.charge_type.value for charge in file.charges] == ["recurring", "one_off", "usage"]


def test_one_cell_decides_the_style_of_all_numbers() -> None:
    point = read(row(Taxable_amount="1,234"), row(Taxable_amount="1.50-"))
    assert [charge.cells["Taxable amount"] for charge in point.charges] == [Decimal("1234"), Decimal("-1.50")]
    comma = read(row(Taxable_amount="1,234"), row(Taxable_amount="1\u202f234,5"))
    assert [charge.cells["Taxable amount"] for charge in comma.charges] == [Decimal("1.234"), Decimal("1234.5")]


def test_a_number_that_can_be_read_in_two_ways_is_refused_unless_pinned() -> None:
    assert "1,234" in (read(row(Taxable_amount="1,234")).refused or "")
    assert read(row(Taxable_amount="1.5"), row(Taxable_amount="1,5")).refused is not None
    pinned = read(row(Taxable_amount="1,234"), row(Taxable_amount="1.5"), decimal=",")
    assert faults(pinned) == [(2, "Taxable amount", "type")]


def test_dates_are_decided_by_a_cell_that_only_one_style_reads() -> None:
    first = row(Period_from="01/03/2024", Period_to="05/03/2024")
    assert read(first).refused is not None
    decided = read(first, row(Period_from="01/03/2024", Period_to="31/03/2024"))
    assert decided.charges[0].cells["Period to"] == dt.date(2024, 3, 5)
    assert read(first, date_format=DateFormat.MONTH_FIRST).charges[0].cells["Period to"] == dt.date(2024, 5, 3)


@pytest.mark.parametrize("text", ["2024-03", "202403", "03/2024", "MAR-24", "mar-24"])
def test_charge_months_of_every_style(text: str) -> None:
    assert read(row(Charge_Month=text)).charges[0].cells["Charge Month"] == "2024-03"


def test_tax_rates_are_percent_unless_all_are_fractions() -> None:
    assert [c.cells["Tax rate"] for c in read(row(Tax_rate="0.2"), row(Tax_rate="0.085")).charges] == [
        Decimal("20"),
        Decimal("8.5"),
    ]
    assert [c.cells["Tax rate"] for c in read(row(Tax_rate="20%"), row(Tax_rate="0")).charges] == [
        Decimal("20"),
        Decimal("0"),
    ]


def test_headers_match_by_name_and_missing_or_double_ones_refuse_the_file() -> None:
    shuffled = " TAXABLE AMOUNT ;invoice number;Document Type;charge currency;Charge month;Serial Number;Surprise"
    assert read("5.00;I-1;Facture;EUR;2024-03;S-1;?", header=shuffled).charges[0].cells["Taxable amount"] == Decimal(
        "5"
    )
    assert "Serial Number" in (read("", header=shuffled.replace("Surprise", "serial number")).refused or "")
    assert "Taxable amount" in (read("", header=shuffled.replace("TAXABLE", "TAX")).refused or "")


def test_bytes_are_utf_8_unless_they_cannot_be() -> None:
    text = ";".join(HEADERS) + "\n" + row(Charge_Description="Accès €") + "\n"
    for content in (text.encode(), text.encode("utf-8-sig"), text.encode("cp1252")):
        assert read_file("x.csv", DIGEST, content, Profile()).charges[0].cells["Charge Description"] == "Accès €"
    packed = gzip.compress(text.encode())
    assert len(read_file("x.csv.gz", DIGEST, packed, Profile()).charges) == 1
    assert read_file("x.csv.gz", DIGEST, packed[:-9], Profile()).refused is not None
    assert read_file("x.csv.gz", DIGEST, text.encode(), Profile()).refused is not None
