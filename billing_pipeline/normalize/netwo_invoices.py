"""The hub's JSON documents as rows of `invoices`, `invoice_lines` and `rejected_rows`. Fetching them is sources/netwo.py.

A line that cannot be read is rejected like a row of a file; an invoice that cannot be read is refused (RefusedFile).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billing_pipeline.config import Profile
from billing_pipeline.errors import RefusedFile
from billing_pipeline.normalize.json_fields import (
    Unreadable,
    count_field,
    decimal_field,
    instant_field,
    is_storable,
    text_field,
)
from billing_pipeline.schemas.columns import LONGEST_KEY
from billing_pipeline.schemas.currencies import ISO_4217

Row = dict[str, Any]
_REPEATED = "unique"


@dataclass(slots=True)
class NetwoRows:
    """Rows in the registry's content columns; `gaps` says what the invoice declares and does not hold.

    A line also has `raw`, its text as received, for when it turns out to be superseded.
    """

    invoices: list[Row] = field(default_factory=list)
    lines: list[Row] = field(default_factory=list)
    rejected: list[Row] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    rows_read: int = 0


def read_listing(pages: Mapping[str, bytes]) -> dict[str, Row]:
    """invoice_id → its entry in the list, from the bytes of the listing's pages by their location."""
    entries: dict[str, Row] = {}
    for location, body in pages.items():
        for entry in _parse(location, body)["invoices"]:
            # An entry without an id is a gap of the collection, told when it was listed.
            if isinstance(entry.get("invoiceId"), str):
                entries.setdefault(entry["invoiceId"], entry)
    return entries


def read_invoice(body: bytes, *, location: str, sha256: str, entry: Row, profile: Profile) -> NetwoRows:
    """One invoice. `entry` is what the list says of it: operator, currency, receivedAt, lineCount, status."""
    document = _parse(location, body)
    rows = NetwoRows()
    try:
        invoice = _invoice(document, entry, sha256)
        lines = document["lines"]
        if not isinstance(lines, list):
            raise Unreadable("'lines' is not a list")
    except KeyError as error:
        raise RefusedFile(f"{location}: field {error} is missing; ask the hub for a complete invoice") from None
    except Unreadable as error:
        raise RefusedFile(f"{location}: {error}; ask the hub for a correct invoice") from None
    rows.rows_read = len(lines)
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        _read_line(line, number, rows, invoice, profile, seen)
    declared = invoice["line_count"]
    # A line sent twice stands for one that was not sent: one in 342 would pass as a rejected row among many.
    arrived = len(lines) - sum(row["check_name"] == _REPEATED for row in rows.rejected)
    if declared is not None and arrived < declared:
        rows.gaps.append(f"invoice {invoice['invoice_id']} declares {declared} lines, {arrived} arrived")
    if declared is None:
        invoice["line_count"] = len(lines)
    rows.invoices.append(invoice)
    return rows


def _parse(location: str, body: bytes) -> Any:
    try:
        return json.loads(body, parse_float=Decimal)
    except ValueError:
        raise RefusedFile(f"{location}: the kept document is not JSON; fetch it again") from None


def _invoice(document: Row, entry: Row, sha256: str) -> Row:
    total_ht = decimal_field(document, "totalHT", required=False)
    if total_ht is None:
        total_ht = decimal_field(entry, "totalHT", required=False)
    total_ttc = decimal_field(document, "totalTTC", required=False)
    if total_ttc is None:
        total_ttc = decimal_field(entry, "totalTTC", required=False)
    currency = entry["currency"]
    if not isinstance(currency, str) or currency not in ISO_4217:
        raise Unreadable("'currency' is not an ISO 4217 code")
    operator = entry.get("operator")
    return {
        "invoice_id": document["invoiceId"],
        "operator_name": text_field(operator, "name") if isinstance(operator, Mapping) else None,
        "document_type": "credit_note" if total_ht is not None and total_ht < 0 else "invoice",
        "invoice_date": None,
        "received_at": instant_field(entry, "receivedAt"),
        "currency": currency,
        "total_ht": total_ht,
        "total_ttc": total_ttc,
        "line_count": count_field(entry, "lineCount"),
        "source_status": text_field(entry, "reconciliationStatus"),
        "source_type": "netwo",
        "source_sha256": sha256,
    }


def _read_line(line: Any, number: int, rows: NetwoRows, invoice: Row, profile: Profile, seen: set[str]) -> None:
    def reject(column: str, check: str, message: str) -> None:
        rows.rejected.append(
            {
                "source_sha256": invoice["source_sha256"], "source_row": number, "column_name": column,
                "check_name": check, "message": message, "raw": _raw(line),
                "invoice_id": invoice["invoice_id"],
            }
        )  # fmt: skip

    if not isinstance(line, dict):
        return reject("", "type", "the line is not a JSON object")
    line_id = line.get("lineId")
    if not isinstance(line_id, str) or not line_id.strip():
        return reject("lineId", "required", "the line has no lineId")
    if not is_storable(line_id):
        return reject("lineId", "type", "the lineId holds half of a surrogate pair, which is no character")
    if len(line_id) > LONGEST_KEY:
        return reject("lineId", "length", f"the lineId has more than {LONGEST_KEY} characters")
    if line_id in seen:
        return reject("lineId", _REPEATED, "the lineId stands twice in its invoice")
    made = _line(line, number, invoice, profile, reject)
    if made is not None:
        seen.add(line_id)
        rows.lines.append({**made, "raw": _raw(line)})
    return None


def _raw(line: Any) -> str:
    text = json.dumps(line, default=str, ensure_ascii=False)
    return text if is_storable(text) else json.dumps(line, default=str)


def _line(
    line: Row, number: int, invoice: Row, profile: Profile, reject: Callable[[str, str, str], None]
) -> Row | None:
    figures: dict[str, Decimal | None] = {}
    for name, required in (("totalHT", True), ("quantity", False), ("unitPriceHT", False)):
        try:
            figures[name] = decimal_field(line, name, required=required)
        except (Unreadable, KeyError) as error:
            reject(name, "required" if isinstance(error, KeyError) else "type", _sentence(error, name))
    texts: dict[str, str | None] = {}
    for name in ("serviceId", "description"):
        try:
            texts[name] = text_field(line, name)
        except Unreadable as error:
            reject(name, "type", str(error))
    if len(figures) + len(texts) < 5:
        return None
    return {
        "invoice_id": invoice["invoice_id"],
        "line_id": line["lineId"],
        "service_id": texts["serviceId"],
        "charge_type": _charge_type(texts["description"], profile),
        "document_type": invoice["document_type"],
        "description": texts["description"],
        "quantity": figures["quantity"],
        "unit_price_ht": figures["unitPriceHT"],
        "total_ht": figures["totalHT"],
        "currency": invoice["currency"],
        "source_sha256": invoice["source_sha256"],
        "source_row": number,
    }


def _charge_type(description: str | None, profile: Profile) -> str:
    for pattern, charge_type in profile.charge_types.items():
        if re.search(pattern, description or ""):
            return charge_type.value
    return "recurring"


def _sentence(error: Exception, name: str) -> str:
    return f"{name!r} is missing" if isinstance(error, KeyError) else str(error)
