"""What a bill declares reaches its invoice, and a bill and its rows that miss each other are told."""

import json
from decimal import Decimal

import ibis
import pyarrow as pa
import pytest

from billing_pipeline.errors import RefusedFile
from billing_pipeline.normalize.orange_bills import contradictions, listed_numbers, read_bill, with_bills
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.tables import INVOICES


def bill(**fields: object):
    record = {"id": "1013390", "type": "invoice", "currency": {"id": "EUR"}, **fields}
    body = json.dumps({name: value for name, value in record.items() if value is not None})
    return read_bill(body.encode(), name="1013390", sha256="b" * 64)


def invoice(**fields: object) -> ibis.Table:
    row = {
        "invoice_id": "FA-1", "operator_name": "Orange", "document_type": "invoice", "currency": "EUR",
        "total_ht": Decimal("90"), "total_ttc": Decimal("108"), "line_count": 3, "source_type": "orange_b2b",
        "source_sha256": "a" * 64, **fields,
    }  # fmt: skip
    return ibis.memtable(pa.Table.from_pylist([row], schema=content_schema(INVOICES)))


def merged(table: ibis.Table, *bills) -> dict:
    (row,) = with_bills(table, bills).to_pyarrow().cast(content_schema(INVOICES)).to_pylist()
    return row


def test_a_bills_amounts_are_the_declared_totals_of_its_invoice():
    row = merged(invoice(), bill(number="FA-1", amountExcludingTax=100.10, amountIncludingTax="120.12"))
    assert (row["total_ht"], row["total_ttc"]) == (Decimal("100.10"), Decimal("120.12"))
    assert row["source_sha256"] == "b" * 64
    assert row["line_count"] == 3


def test_a_bill_without_amounts_leaves_the_sums_of_the_rows():
    row = merged(invoice(invoice_id="1013390"), bill())
    assert (row["total_ht"], row["total_ttc"]) == (Decimal("90"), Decimal("108"))


def test_a_credit_notes_amounts_are_negative_whatever_sign_the_bill_has():
    row = merged(invoice(total_ht=Decimal("-90")), bill(number="FA-1", type="creditNote", amountExcludingTax=90))
    assert (row["document_type"], row["total_ht"]) == ("credit_note", Decimal("-90"))


def test_sums_in_another_currency_than_the_bills_are_not_taken_for_its_totals():
    row = merged(invoice(currency="USD"), bill(number="FA-1", amountExcludingTax=100))
    assert (row["currency"], row["total_ht"], row["total_ttc"]) == ("EUR", Decimal("100"), None)


def test_an_invoice_without_a_bill_stays_as_it_is():
    assert merged(invoice(), bill(number="FA-2", amountExcludingTax=1))["total_ht"] == Decimal("90")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"amountExcludingTax": "1 000,00"}, "amountExcludingTax"),
        ({"amountIncludingTax": True}, "amountIncludingTax"),
        ({"amountExcludingTax": 10**13}, "12 integer digits"),
        ({"currency": {"id": "EURO"}}, "currency"),
        ({"id": None}, "'id' is missing"),
        ({"createdAt": "yesterday"}, "createdAt"),
        ({"number": "FA-\ud83d"}, "surrogate"),
    ],
)
def test_a_bill_that_cannot_be_read_is_refused_by_its_field(fields, told):
    with pytest.raises(RefusedFile, match=told) as caught:
        bill(**fields)
    assert "1 000,00" not in str(caught.value)


def test_a_bill_without_rows_and_rows_without_a_bill_are_told():
    one, two = bill(number="FA-1"), bill(id="2", number="FA-2")
    numbers = {"1013390": "FA-1", "2": "FA-2"}
    assert contradictions([one, two], numbers, [("r.csv", {"FA-1", "FA-2"}, ["1013390", "2"])]) == []
    lacking = contradictions([one, two], numbers, [("r.csv", {"FA-1", "FA-9"}, ["1013390", "2", "77"])])
    assert len(lacking) == 3
    assert "FA-2" in lacking[0]
    assert "FA-9" in lacking[1]
    assert "r.csv declares bill 2, 77" in lacking[2]


def test_rows_of_another_months_bill_are_not_taken_for_rows_without_one():
    pages = [b'[{"id": 7, "number": "FA-7"}, {"id": "8"}]', b'{"invoice": 2}']
    assert listed_numbers(pages) == {"7": "FA-7", "8": "8"}
    assert contradictions([], listed_numbers(pages), [("r.csv", {"FA-7", "8"}, [])]) == []


def test_a_number_that_only_the_detail_shows_is_the_one_its_rows_have():
    """The guide's example of a list shows no number."""
    listed = listed_numbers([b'[{"id": "1013390", "type": "invoice"}]'])
    files = [("r.csv", {"FA-1"}, ["1013390"])]
    assert contradictions([bill(number="FA-1")], listed, files) == []
    assert "FA-1, which no bill has" in contradictions([bill(number="FA-2")], listed, files)[1]


def test_two_bills_of_one_number_are_told():
    assert "both have the number FA-1" in contradictions([bill(number="FA-1"), bill(id="2", number="FA-1")], {}, [])[0]
