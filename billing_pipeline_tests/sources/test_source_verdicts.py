"""The hub's own verdicts stand beside ours, and nothing in them is taken for ours."""

import json
from decimal import Decimal

import ibis
import pyarrow as pa
import pytest

from billing_pipeline.errors import RefusedFile
from billing_pipeline.normalize.netwo_verdicts import read_verdicts
from billing_pipeline.reconciliation.source_verdicts import compare_verdicts
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.tables import RECONCILIATION_ITEMS, SOURCE_VERDICTS

SEED = [
    {"serviceId": "SVC-142", "invoiceLineId": "LN-001", "status": "MATCHED", "serviceAmount": 25.00, "invoiceAmount": 25.0},
    {"serviceId": "SVC-201", "invoiceLineId": None, "status": "UNMATCHED", "serviceAmount": 22.00, "invoiceAmount": None},
    {"serviceId": "SVC-055", "invoiceLineId": "LN-187", "status": "DISCREPANCY", "serviceAmount": 25, "invoiceAmount": 28.5},
]  # fmt: skip


def theirs(items: list) -> tuple[list[dict], list[str]]:
    return read_verdicts(json.dumps({"period": "2024-03", "items": items}).encode(), location="hub")


def item(item_id: str, status: str, service: str | None, billed: str | None, **fields: object) -> dict:
    return {
        "item_id": item_id, "side": "service", "service_id": item_id.removeprefix("service:"), "status": status,
        "invoice_line_ids": [], "currency": "EUR", "service_amount": service and Decimal(service),
        "invoice_amount": billed and Decimal(billed), **fields,
    }  # fmt: skip


def compared(items: list, ours: list) -> dict[tuple[str, str], dict]:
    schema = content_schema(SOURCE_VERDICTS)
    names = [name for name in schema.names if name.startswith("source_") or name.endswith("_id")]
    left = ibis.memtable(pa.Table.from_pylist(theirs(items)[0], schema=pa.schema([schema.field(n) for n in names])))
    right = ibis.memtable(pa.Table.from_pylist(ours, schema=content_schema(RECONCILIATION_ITEMS)))
    rows = compare_verdicts(left, right).to_pyarrow().cast(schema).to_pylist()
    return {(row["service_id"], row["invoice_line_id"]): row for row in rows}


def test_the_seeds_example_agrees_with_the_same_verdicts_of_ours():
    rows = compared(
        SEED,
        [
            item("service:SVC-142", "MATCHED", "25.00", "25"),
            item("service:SVC-201", "UNMATCHED", "22", None),
            item("service:SVC-055", "DISCREPANCY", "25", "28.50"),
        ],
    )
    assert len(rows) == 3
    assert all(row["agrees"] for row in rows.values())


@pytest.mark.parametrize(
    "ours",
    [
        item("service:SVC-142", "DISCREPANCY", "25.00", "25.00"),
        item("service:SVC-142", "MATCHED", "25.00", "25.01"),
        item("service:SVC-142", "MATCHED", None, "25.00"),
    ],
)
def test_another_status_or_amount_is_a_disagreement(ours):
    assert compared(SEED[:1], [ours])["SVC-142", "LN-001"]["agrees"] is False


def test_what_only_one_side_has_is_shown_and_does_not_agree():
    rows = compared(SEED[:1], [item("service:SVC-777", "MATCHED", "1", "1")])
    assert rows["SVC-142", "LN-001"]["status"] is None
    assert rows["SVC-777", ""]["source_status"] is None
    assert not any(row["agrees"] for row in rows.values())


def test_a_hubs_line_without_a_service_meets_our_line_of_that_name_where_there_is_one():
    line = {
        "serviceId": None,
        "invoiceLineId": "LN-9",
        "status": "UNMATCHED",
        "serviceAmount": None,
        "invoiceAmount": 5,
    }
    mine = item("line:INV-1:LN-9", "UNMATCHED", None, "5", side="line", service_id=None, invoice_line_id="LN-9")
    assert compared([line], [mine])["", "LN-9"]["agrees"] is True
    twin = {**mine, "item_id": "line:INV-2:LN-9"}
    assert compared([line], [mine, twin])["", "LN-9"]["status"] is None


def test_items_that_cannot_be_read_or_stand_twice_are_left_out_and_named_with_their_field():
    rows, unread = theirs([*SEED, SEED[0], {"status": "MATCHED"}, 7, {**SEED[1], "serviceAmount": "a lot"}])
    assert len(rows) == 3
    assert unread == [
        "item 4: 'serviceId' and 'invoiceLineId' are those of an item before it (SVC-142 and LN-001)",
        "item 5: 'status', or both 'serviceId' and 'invoiceLineId', are missing",
        "item 6: the item is no JSON object",
        "item 7: 'serviceAmount' is not a number",
    ]


def test_amounts_never_pass_through_a_float():
    body = b'{"items": [{"serviceId": "S", "status": "MATCHED", "serviceAmount": 0.1, "invoiceAmount": 0.100001}]}'
    (row,), _ = read_verdicts(body, location="hub")
    assert (row["source_service_amount"], row["source_invoice_amount"]) == (Decimal("0.1"), Decimal("0.100001"))


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'{"items": {"1": {}}}'])
def test_what_is_no_reconciliation_is_refused(body):
    with pytest.raises(RefusedFile, match="hub"):
        read_verdicts(body, location="hub")
