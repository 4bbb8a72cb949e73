"""Payments and disputes are right or refused: each rule of the two files, told with row, column and remedy."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from billing_pipeline.config import Services, load_config
from billing_pipeline.errors import ConfigurationError, InventoryError
from billing_pipeline.normalize.claims import Claims, parse_claims, read_claim_files

HEADERS = {
    "payments": "operator_code,invoice_id,paid_on",
    "disputes": "operator_code,period,item_id,sent_on,reference,status,credited_amount",
}
PAID = "SFR,INV-1,2024-04-10"
SENT = "SFR,2024-03,service:SVC-1,2024-04-15,T-100,accepted,12.50"


def read(folder: Path, *, header: str | None = None, **files: list[str]) -> Claims:
    paths = {}
    for name, rows in files.items():
        paths[name] = folder / f"{name}.csv"
        paths[name].write_text("\n".join([header or HEADERS[name], *rows, ""]), encoding="utf-8")
    services = Services(inventory=folder / "services.csv", **paths)
    return parse_claims(read_claim_files(services), ["SFR", "AXIONE"])


def test_a_payment_lies_in_the_month_it_was_made_and_names_its_row(tmp_path):
    (row,) = read(tmp_path, payments=[PAID]).of("SFR").payments.to_pylist()
    assert (row["invoice_id"], row["paid_on"], row["period"]) == ("INV-1", dt.date(2024, 4, 10), "2024-04")
    assert row["source_row"] == 1
    assert len(row["source_sha256"]) == 64


def test_a_dispute_lies_in_the_month_it_is_about_and_its_credit_is_exact(tmp_path):
    (row,) = read(tmp_path, disputes=[SENT]).of("SFR").disputes.to_pylist()
    assert (row["period"], row["item_id"], row["status"]) == ("2024-03", "service:SVC-1", "accepted")
    assert row["credited_amount"] == Decimal("12.500000")


def test_without_a_credit_it_is_zero_and_without_a_reference_empty(tmp_path):
    (row,) = read(tmp_path, disputes=[SENT.replace("T-100,accepted,12.50", ",sent,")]).disputes.to_pylist()
    assert (row["reference"], row["credited_amount"]) == ("", Decimal(0))


def test_no_file_is_no_row_of_the_same_columns(tmp_path):
    with_rows = read(tmp_path, payments=[PAID], disputes=[SENT])
    without = read(tmp_path)
    assert without.payments.num_rows == without.disputes.num_rows == 0
    assert without.payments.schema.names == with_rows.payments.schema.names
    assert without.disputes.schema == with_rows.disputes.schema


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("payments", "SFR", "", "row 1, column operator_code: is empty"),
        ("payments", "INV-1", " ", "row 1, column invoice_id: is empty"),
        ("payments", "2024-04-10", "10/04/2024", "row 1, column paid_on: is not a date"),
        ("payments", "2024-04-10", "", "row 1, column paid_on: is empty"),
        ("payments", "2024-04-10", "2999-01-01", "row 1, column paid_on: is in the future"),
        ("payments", ",2024", "", "row 1: 2 fields, the header has 3"),
        ("disputes", "2024-03", "2024-3", "row 1, column period: is not a period"),
        ("disputes", "service:SVC-1", "SVC-1", "row 1, column item_id: is not the item_id of a verdict"),
        ("disputes", "service:SVC-1", "line:INV-1", "row 1, column item_id: is not the item_id of a verdict"),
        ("disputes", "2024-04-15", "2024-02-30", "row 1, column sent_on: is not a date"),
        ("disputes", "accepted", "Accepted", "row 1, column status: is none of sent, accepted, refused"),
        ("disputes", "12.50", "-12.50", "row 1, column credited_amount: is negative"),
        ("disputes", "12.50", '"12,50"', "row 1, column credited_amount: is not a number"),
        ("disputes", "accepted", "refused", "row 1, column credited_amount: is credited and refused"),
    ],
)
def test_an_invalid_row_refuses_the_file_with_row_column_and_remedy(tmp_path, name, old, new, said):
    row = {"payments": PAID, "disputes": SENT}[name]
    assert old in row
    with pytest.raises(InventoryError) as caught:
        read(tmp_path, **{name: [row.replace(old, new, 1)]})
    assert said in str(caught.value)
    assert str(tmp_path / f"{name}.csv") in str(caught.value)


@pytest.mark.parametrize("amount", ["", "0", "0.00", "+0", "-0.0"])
def test_a_refused_dispute_without_a_credit_is_fine(tmp_path, amount):
    refused = SENT.replace("accepted,12.50", f"refused,{amount}")
    assert read(tmp_path, disputes=[refused]).disputes["credited_amount"].to_pylist() == [Decimal(0)]


def test_an_invoice_paid_in_two_parts_is_two_payments_and_the_same_day_twice_a_mistake(tmp_path):
    assert read(tmp_path, payments=[PAID, PAID.replace("04-10", "05-10")]).payments.num_rows == 2
    with pytest.raises(InventoryError, match="row 2, column paid_on: stands twice"):
        read(tmp_path, payments=[PAID, PAID])


def test_an_item_disputed_again_needs_a_reference_of_its_own(tmp_path):
    again = SENT.replace("T-100", "T-101").replace("04-15", "06-01")
    assert read(tmp_path, disputes=[SENT, again]).disputes.num_rows == 2
    with pytest.raises(InventoryError, match="row 2, column reference: stands twice"):
        read(tmp_path, disputes=[SENT, SENT.replace("04-15", "06-01")])
    without = SENT.replace("T-100", "")
    with pytest.raises(InventoryError, match="row 2, column reference: stands twice"):
        read(tmp_path, disputes=[without, without])


def test_rows_of_operators_that_are_not_configured_are_left_out_with_a_warning(tmp_path):
    found = read(tmp_path, payments=[PAID, "BOUYGUES,X,not even a date"], disputes=[SENT])
    assert found.payments["invoice_id"].to_pylist() == ["INV-1"]
    assert [warning.split(": ", 1)[1] for warning in found.warnings] == [
        "1 rows of BOUYGUES are left out; no such operator is configured"
    ]


def test_extra_columns_are_reported_and_missing_ones_named(tmp_path):
    found = read(tmp_path, payments=[PAID + ",x"], header=HEADERS["payments"] + ",colour")
    assert any("unknown columns are not used: colour" in warning for warning in found.warnings)
    with pytest.raises(InventoryError, match="column paid_on is missing from the header"):
        read(tmp_path, payments=["SFR,INV-1"], header="operator_code,invoice_id")


def test_a_file_per_month_is_refused_because_each_run_would_undo_the_others(tmp_path):
    path = tmp_path / "billing.yaml"
    path.write_text(
        'version: 1\nfirst_period: "2024-01"\nservices: {inventory: s.csv, disputes: "d-{period}.csv"}\n'
        "operators: [{code: SFR, name: SFR, source: {type: r189_files, folder: inbox}}]\n"
    )
    with pytest.raises(ConfigurationError, match=r"services\.disputes' holds all periods; name one file"):
        load_config(path)
