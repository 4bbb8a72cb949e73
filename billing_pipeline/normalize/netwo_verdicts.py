"""The hub's own reconciliation of a month as rows: a second opinion beside our verdicts, which rest on nothing in it."""

import json
from decimal import Decimal
from typing import Any

from billing_pipeline.errors import RefusedFile
from billing_pipeline.normalize.json_fields import Unreadable, decimal_field, text_field

Row = dict[str, Any]


def read_verdicts(body: bytes, *, location: str) -> tuple[list[Row], int]:
    """The items that can be read, keyed by (service_id, invoice_line_id), and how many cannot or stand there twice.

    RefusedFile when the document is no reconciliation at all.
    """
    try:
        document = json.loads(body, parse_float=Decimal)
        items = document["items"]
    except (ValueError, KeyError, TypeError):
        raise RefusedFile(f"{location}: the hub's reconciliation has no 'items'; fetch it again") from None
    rows: dict[tuple[str, str], Row] = {}
    for item in items if isinstance(items, list) else []:
        try:
            row = _row(item)
        except Unreadable:
            continue
        rows.setdefault((row["service_id"], row["invoice_line_id"]), row)
    return list(rows.values()), len(items) - len(rows)


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
