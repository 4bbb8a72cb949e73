"""What becomes of one row: loaded as it means, or rejected under each rule it breaks, never both and never neither."""

import datetime as dt
import hashlib
from decimal import Decimal
from pathlib import Path

import pytest

from billing_pipeline.config import ChargeType, DocumentType, Profile
from billing_pipeline.errors import RefusedFile
from billing_pipeline.r189.reader import CHARGES_SCHEMA, R189File
from billing_pipeline.r189.rejections import REJECTED_SCHEMA

from .charge_file import HEADERS, Reading, read, row, text_of


def reading_of(folder: Path, *rows: dict[str, str], profile: Profile | None = None) -> Reading:
    reading = read(folder, text_of(rows), profile)
    assert reading.balances
    return reading


def test_a_sound_row_is_loaded_with_every_column_typed(tmp_path: Path):
    content = text_of([row(Credit_Comments=" kept as it stands ", Country="  ", PO_Reference='a;b\r\n"c"')])
    reading = read(tmp_path, content)
    (charge,) = reading.charges
    assert charge["source_sha256"] == reading.sha256 == hashlib.sha256(content.encode()).hexdigest()
    assert charge["source_row"] == 1
    assert (charge["period_from"], charge["charge_month"]) == (dt.date(2024, 3, 1), "2024-03")
    assert (charge["taxable_amount"], charge["tax_rate"]) == (Decimal("20.000000"), Decimal("20.000000"))
    assert (charge["credit_comments"], charge["country"]) == (" kept as it stands ", None)
    assert charge["po_reference"] == 'a;b\r\n"c"'
    assert (charge["mapped_document_type"], charge["charge_type"]) == ("invoice", "recurring")


def test_batches_have_the_registrys_schemas_whatever_is_in_them(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text(text_of([row(), row(Taxable_amount=""), row()]) + "short\n", encoding="utf-8")
    batches = list(R189File(path, Profile(), name="x.csv").batches(rows_per_batch=1))
    assert [batch.rows for batch in batches] == [1, 1, 2]
    assert all(batch.charges.schema == CHARGES_SCHEMA for batch in batches)
    assert all(batch.rejected.schema == REJECTED_SCHEMA for batch in batches)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Invoice number": " "}, [("Invoice number", "required")]),
        ({"Invoice number": "I" * 256}, [("Invoice number", "length")]),
        ({"Document type": ""}, [("Document type", "required")]),
        ({"Charge Currency": "\t"}, [("Charge Currency", "required")]),
        ({"Taxable amount": " "}, [("Taxable amount", "required")]),
        ({"Taxable amount": "n/a"}, [("Taxable amount", "type")]),
        ({"Taxable amount": "20.0000001"}, [("Taxable amount", "scale")]),
        ({"Taxable amount": "1000000000000"}, [("Taxable amount", "digits")]),
        ({"Exchange rate": "1.0000000000001"}, [("Exchange rate", "scale")]),
        ({"Tax rate": "abc"}, [("Tax rate", "type")]),
        ({"Invoice Date": "2024-02-30"}, [("Invoice Date", "type")]),
        ({"Charge Month": "2024-13"}, [("Charge Month", "type")]),
        ({"Charge Currency": "EURO"}, [("Charge Currency", "currency")]),
        ({"Charge Currency": "XXX"}, [("Charge Currency", "currency")]),
        ({"Invoicing Currency": "eur"}, [("Invoicing Currency", "currency")]),
        ({"Document type": "Proforma"}, [("Document type", "mapping")]),
        ({"Frequency": "Sometimes"}, [("Frequency", "mapping")]),
        ({"Taxable amount": "20.02"}, [("Taxable amount", "arithmetic")]),
        ({"Taxable amount": "19.98"}, [("Taxable amount", "arithmetic")]),
        ({"Period to": "2024-02-29"}, [("Period to", "period_order")]),
        ({"Period to": ""}, [("Period to", "period_order")]),
        ({"Period from": ""}, [("Period to", "period_order")]),
        ({"Period from": "n/a"}, [("Period from", "type")]),
        ({"Period from": "2014-03-31"}, [("Period to", "span")]),
        ({"Charge Currency": "EURO", "Tax amount": "x", "Invoice number": ""},
         [("Invoice number", "required"), ("Charge Currency", "currency"), ("Tax amount", "type")]),
    ],
)  # fmt: skip
def test_each_rule_rejects_its_row_under_its_own_name(tmp_path: Path, changes, expected):
    reading = reading_of(tmp_path, row(), row(changes), row())
    assert [(column, check) for _, column, check in reading.checks] == expected
    assert {at for at, _, _ in reading.checks} == {2}
    assert [one["source_row"] for one in reading.charges] == [1, 3]


@pytest.mark.parametrize(
    "changes",
    [
        {"Taxable amount": "20.01"},
        {"Taxable amount": "19.99"},
        {"Taxable amount": "77", "Discount amount": ""},
        {"Taxable amount": "20.000000"},
        {"Taxable amount": "999999999999.99", "Pre-discount amount": ""},
        {"Exchange rate": "1.085000000001"},
        {"Period from": "", "Period to": ""},
        {"Period from": "2014-04-01"},
        {"Period from": "2024-03-31"},
        {"Charge Currency": " USD "},
        {"Document type": " FACTURE "},
        {"Installed Offer ID": "", "Serial Number": ""},
        {"Charge Month": ""},
    ],
)
def test_what_the_rules_allow_is_loaded(tmp_path: Path, changes):
    reading = reading_of(tmp_path, row(changes))
    assert reading.rejected == []
    assert reading.charges[0]["charge_currency"] in ("EUR", "USD")


def test_a_credit_is_negative_whichever_sign_the_operator_gave_it(tmp_path: Path):
    for sign in ("", "-"):
        credit = {
            "Document type": "Avoir", "Pre-discount amount": f"{sign}25.00", "Discount amount": f"{sign}5.00",
            "Taxable amount": f"{sign}20.00", "Tax amount": f"{sign}4.00", "Invoicing Amount": f"{sign}20.00",
            "Total including Tax": f"{sign}24.00",
        }  # fmt: skip
        (charge,) = reading_of(tmp_path, row(credit)).charges
        assert charge["mapped_document_type"] == "credit_note"
        amounts = ("pre_discount_amount", "discount_amount", "taxable_amount", "tax_amount", "invoicing_amount")
        assert [str(charge[name])[:4] for name in amounts] == ["-25.", "-5.0", "-20.", "-4.0", "-20."]
        assert charge["total_including_tax"] == Decimal(-24)
        assert (charge["monthly_price"], charge["tax_rate"]) == (Decimal(20), Decimal(20))


def test_a_negative_amount_of_an_invoice_stays_as_it_is(tmp_path: Path):
    (charge,) = reading_of(tmp_path, row({"Taxable amount": "-20.00", "Pre-discount amount": "(20.00)"})).charges
    assert charge["taxable_amount"] == Decimal(-20)


@pytest.mark.parametrize(
    ("frequency", "price", "expected"),
    [
        ("Monthly", "", "recurring"), ("mensuel", "1", "recurring"), (" QUARTERLY ", "1", "recurring"),
        ("Annuel", "1", "recurring"), ("One-time", "1", "one_off"), ("Ponctuel", "1", "one_off"),
        ("Usage", "1", "usage"), ("Consommation", "1", "usage"),
        ("", "20.00", "recurring"), (" ", "", "one_off"), ("", "0", "recurring"),
    ],
)  # fmt: skip
def test_how_often_a_charge_recurs_is_read_from_its_word_or_its_price(tmp_path: Path, frequency, price, expected):
    (charge,) = reading_of(tmp_path, row({"Frequency": frequency, "Monthly price": price})).charges
    assert charge["charge_type"] == expected


def test_the_profiles_words_add_to_the_defaults_and_win_over_them(tmp_path: Path):
    profile = Profile(
        document_types={"Régularisation": DocumentType.CREDIT_NOTE},
        frequencies={"monthly": ChargeType.USAGE, "Biennal": ChargeType.RECURRING},
    )
    rows = (row({"Document type": "RÉGULARISATION "}), row(Frequency="Monthly"), row(Frequency="biennal"))
    charges = reading_of(tmp_path, *rows, profile=profile).charges
    assert [one["mapped_document_type"] for one in charges] == ["credit_note", "invoice", "invoice"]
    assert [one["charge_type"] for one in charges] == ["usage", "usage", "recurring"]


def test_personal_fields_never_leave_by_the_rejected_rows(tmp_path: Path):
    secrets = {"Site address": 'Chez "Zoé"; 3e', "Phone Number": "+33 5", "Invoice Contact": "Zoé\nDurand"}
    (rejected,) = reading_of(tmp_path, row({**secrets, "Taxable amount": "n/a"})).rejected
    assert rejected["raw"] is not None
    assert rejected["raw"].count("***") == 3
    for text in (rejected["raw"], rejected["message"]):
        assert not any(secret in text for secret in ("Zo", "3e", "+33", "Durand"))
    assert rejected["raw"].startswith("9300856;;;INV-1;2024-04-14;Invoice;")


def test_a_rejected_row_keeps_its_invoice_and_its_keys(tmp_path: Path):
    changes = {"Taxable amount": "", "Installed Offer ID": " OFF-1 ", "Order reference": 'K"1;', "Serial Number": ""}
    (rejected,) = reading_of(tmp_path, row(changes)).rejected
    assert (rejected["invoice_id"], rejected["installed_offer_id"], rejected["order_reference"]) == (
        "INV-1", "OFF-1", 'K"1;',
    )  # fmt: skip
    assert rejected["serial_number"] is None


@pytest.mark.parametrize(
    ("line", "check"),
    [("a;b", "field_count"), (";" * 50, "field_count"), ('"a"b' + ";" * 49, "quote"), ('"a;b', "quote")],
)
def test_where_fields_cannot_be_told_apart_nothing_of_the_row_is_kept(tmp_path: Path, line: str, check: str):
    reading = read(tmp_path, text_of([row()]) + line)
    assert reading.balances
    assert reading.checks == [(2, "", check)]
    rejected = reading.rejected[0]
    assert rejected["raw"] is rejected["serial_number"] is rejected["invoice_id"] is None


def test_a_nul_byte_rejects_its_row_and_is_storable_afterwards(tmp_path: Path):
    reading = reading_of(tmp_path, row(), row(Site_name="a\0b"), row(Phone_Number="\0"))
    assert reading.checks == [(2, "Site name", "nul"), (3, "Phone Number", "nul")]
    assert not any("\0" in str(value) for one in reading.rejected for value in one.values())
    assert "a\u2400b" in str(reading.rejected[0]["raw"])


def test_blank_lines_are_neither_rows_nor_counted(tmp_path: Path):
    lines = text_of([row(Taxable_amount="x"), row()]).splitlines()
    reading = read(tmp_path, "\n".join(["", *lines[:2], "", "  ", lines[2], "\t", ""]))
    assert reading.rows == 2
    assert [one["source_row"] for one in reading.charges] == [2]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_line_end_gives_the_same_rows(tmp_path: Path, newline: str):
    rows = [row(Site_name="two\nlines\r\nor\rmore"), row(Taxable_amount="n/a")]
    reading = read(tmp_path, text_of(rows, newline=newline))
    assert (reading.rows, reading.checks) == (2, [(2, "Taxable amount", "type")])
    assert reading.charges[0]["site_name"] == "two\nlines\r\nor\rmore"
    assert reading.profile.newline == {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}[newline]


def test_two_kinds_of_line_end_refuse_the_file_by_row(tmp_path: Path):
    with pytest.raises(RefusedFile, match=r"x\.csv: row 2 .* LF"):
        read(tmp_path, text_of([row()]) + text_of([row()], newline="\r\n").splitlines()[1] + "\r\n")


def test_a_formula_in_a_cell_stays_the_text_it_is(tmp_path: Path):
    (charge,) = reading_of(tmp_path, row(Site_name="=cmd()", Customer_name="@SUM(A1)")).charges
    assert (charge["site_name"], charge["customer_name"]) == ("=cmd()", "@SUM(A1)")


def test_keys_keep_their_leading_zeros_and_words_that_look_like_nulls(tmp_path: Path):
    (charge,) = reading_of(
        tmp_path, row({"Serial Number": "007", "Order reference": "NA", "Postal Code": "06300"})
    ).charges
    assert (charge["serial_number"], charge["order_reference"], charge["postal_code"]) == ("007", "NA", "06300")


def test_a_file_with_only_the_required_columns_is_read(tmp_path: Path):
    headers = ["Taxable amount", "Invoice number", "Document type", "Charge Currency", "Charge Month", "Serial Number"]
    reading = read(tmp_path, text_of([row(), row(Taxable_amount="")], headers))
    assert len(reading.profile.absent) == len(HEADERS) - len(headers)
    assert reading.charges[0]["charge_type"] == "one_off"
    assert reading.checks == [(2, "Taxable amount", "required")]


def test_reading_twice_gives_the_same_batches(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text(text_of([row(), row(Taxable_amount="x"), row()]), encoding="utf-8")
    file = R189File(path, Profile(), name="x.csv", sha256="ab" * 32)
    first, second = ([(b.charges, b.rejected, b.rows) for b in file.batches()] for _ in range(2))
    assert first == second
    assert file.sha256 == "ab" * 32


def test_one_period_column_without_the_other_rejects_rows_and_does_not_crash(tmp_path: Path):
    headers = [name for name in HEADERS if name != "Period to"]
    reading = read(tmp_path, text_of([row(), row(Period_from="")], headers))
    assert reading.checks == [(1, "Period to", "period_order")]
