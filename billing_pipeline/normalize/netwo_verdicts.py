"""The hub's own reconciliation of a month as rows: a second opinion beside our verdicts, which rest on nothing in it."""

import json
from decimal import Decimal
from typing import Any

from billing_pipeline.errors import RefusedFile, one_line
from billing_pipeline.normalize.json_fields import Unreadable, decimal_field, text_field

Row = dict[str, Any]


def read_verdicts(body: bytes, *, location: str) -> tuple[list[Row], list[str]]:
    """The items that can be read, keyed by (service_id, invoice_line_id), and one line for each that is left out.

    Such a line names the item by its place in 'items', from 1, and the field that cannot be read.

    RefusedFile when the document is no reconciliation at all.
    """
    try:
        document = json.loads(body, parse_float=Decimal)
        items = document["items"]
    except (ValueError, KeyError, TypeError):
        raise RefusedFile(f"{location}: the hub's reconciliation has no 'items'; fetch it again") from None
    if not isinstance(items, list):
        raise RefusedFile(f"{location}: 'items' of the hub's reconciliation is no list; fetch it again")
    rows: dict[tuple[str, str], Row] = {}
    unread: list[str] = []
    for place, item in enumerate(items, start=1):
        try:
            row = _row(item)
        except Unreadable as fault:
            unread.append(f"item {place}: {fault}")
            continue
        key = (row["service_id"], row["invoice_line_id"])
        if rows.setdefault(key, row) is not row:
            named = " and ".join(one_line(one) for one in key if one)
            unread.append(f"item {place}: 'serviceId' and 'invoiceLineId' are those of an item before it ({named})")
    return list(rows.values()), unread


def _row(item: Any) -> Row:
    if not isinstance(item, dict):
        raise Unreadable("the item is no JSON object")
    status = text_field(item, "status")
    service_id, line_id = text_field(item, "serviceId"), text_field(item, "invoiceLineId")
    if status is None or (service_id is None and line_id is None):
        raise Unreadable("'status', or both 'serviceId' and 'invoiceLineId', are missing")
    return {
        "service_id": service_id or "",
        "invoice_line_id": line_id or "",
        "source_status": status,
        "source_service_amount": decimal_field(item, "serviceAmount"),
        "source_invoice_amount": decimal_field(item, "invoiceAmount"),
        "source_detail": text_field(item, "detail"),
    }
