"""Orange's bills as what they state of an invoice: number, kind, currency, totals. Fetching them is sources/orange_b2b.py.

An R189 row names its invoice; the bill declares what that invoice adds up to, which findings then compare with its rows.
"""

import datetime as dt
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import ibis
import pyarrow as pa
from ibis.expr.types import Table

from billing_pipeline.errors import RefusedFile, one_line
from billing_pipeline.normalize.json_fields import decimal_field, instant_field, is_storable
from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.currencies import ISO_4217
from billing_pipeline.schemas.tables import INVOICES

# The guide shows no amounts; the second name of each pair is that of the TM Forum model the API follows.
_TOTAL_HT = ("amountExcludingTax", "taxExcludedAmount")
_TOTAL_TTC = ("amountIncludingTax", "taxIncludedAmount")
_SHOWN = 5
_CREDIT_TYPES = ("creditnote", "credit_note", "credit note")


@dataclass(frozen=True, slots=True)
class Bill:
    """What a bill states; null where it states nothing. Amounts are in `currency`, negative for a credit note."""

    bill_id: str
    invoice_id: str
    document_type: str | None
    currency: str | None
    total_ht: Decimal | None
    total_ttc: Decimal | None
    invoice_date: dt.date | None
    received_at: dt.datetime | None
    source_sha256: str


def read_bill(body: bytes, *, name: str, sha256: str) -> Bill:
    """One bill's detail. RefusedFile names the bill and the field that cannot be read."""
    try:
        record = json.loads(body, parse_float=Decimal)
        if not isinstance(record, dict):
            raise ValueError("it is no JSON object")
        return _bill(record, sha256)
    except ValueError as error:
        raise RefusedFile(f"bill {name}: {error}; ask the operator for a correct bill") from None


def invoice_number(record: Mapping[str, Any]) -> str:
    """A bill's `number`, else its `id`: what its R189 rows call their invoice. '' for a record that has neither."""
    for field in ("number", "id"):
        value = record.get(field)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return ""


def listed_numbers(pages: Iterable[bytes]) -> dict[str, str]:
    """bill id → invoice number of every record in the pages of a list of bills; pages of anything else add nothing."""
    found: dict[str, str] = {}
    for body in pages:
        records = json.loads(body, parse_float=Decimal)
        for record in records if isinstance(records, list) else []:
            if isinstance(record, dict) and record.get("id") is not None:
                found[str(record["id"])] = invoice_number(record)
    return found


def contradictions(
    bills: Iterable[Bill], numbers: Mapping[str, str], files: Iterable[tuple[str, Collection[str], Sequence[str]]]
) -> list[str]:
    """What bills and charge rows of one period lack of each other, one line each; empty when they fit.

    `numbers`: bill id → invoice number of every bill of the account, as listed. `files`: the name of each charge file, the invoice
    numbers its rows have, the ids of the bills it declares.
    """
    bills, files = list(bills), list(files)
    # A list may show less of a bill than its detail does, its number among it.
    numbers = {**numbers, **{bill.bill_id: bill.invoice_id for bill in bills}}
    billed = {number for _, held, _ in files for number in held}
    found = []
    owners: dict[str, str] = {}
    for bill in bills:
        if (other := owners.setdefault(bill.invoice_id, bill.bill_id)) != bill.bill_id:
            shown = [one_line(one) for one in (other, bill.bill_id, bill.invoice_id)]
            found.append("bills {} and {} both have the number {}".format(*shown))
    without_rows = sorted(number for number in owners if number not in billed)
    if without_rows:
        found.append(f"no R189 row has the number of {_listed('bill', without_rows)}; its charge report is missing")
    unknown = sorted(billed - set(numbers.values()))
    if unknown:
        found.append(f"R189 rows name {_listed('invoice', unknown)}, which no bill has; the bill is missing")
    for name, held, declared in files:
        lacking = sorted(one for one in declared if numbers.get(one, "") not in held)
        if lacking:
            found.append(f"report {one_line(name)} declares {_listed('bill', lacking)} and has no row of it")
    return found


def _listed(what: str, names: Sequence[str]) -> str:
    """`bill 1, 2, 3 and 4 more`."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{what} {', '.join(one_line(name) for name in names[:_SHOWN])}{more}"


def with_bills(invoices: Table, bills: Iterable[Bill]) -> Table:
    """`invoices`, made from charge rows, with what their bills declare in place of what the rows add up to.

    A bill without amounts leaves the sums; a total is taken over only where its currency is known.
    """
    names = (
        "invoice_id", "document_type", "currency", "total_ht", "total_ttc", "invoice_date", "received_at",
        "source_sha256",
    )  # fmt: skip
    schema = pa.schema([content_schema(INVOICES).field(name) for name in names])
    rows = [{name: getattr(bill, name) for name in schema.names} for bill in bills]
    stated = ibis.memtable(pa.Table.from_pylist(rows, schema=schema))
    stated = stated.rename({f"bill_{name}": name for name in schema.names})
    joined = invoices.left_join(stated, invoices.invoice_id == stated.bill_invoice_id)
    currency = ibis.coalesce(joined.bill_currency, joined.currency)
    known = currency.notnull()
    same = (joined.bill_currency.isnull() | (joined.bill_currency == joined.currency)).fill_null(False)

    def total(name: str) -> Any:
        own = ibis.ifelse(same, joined[name], ibis.null("decimal(18, 6)"))
        return ibis.coalesce(ibis.ifelse(known, joined[f"bill_{name}"], ibis.null("decimal(18, 6)")), own)

    return joined.select(
        "invoice_id",
        "operator_name",
        document_type=ibis.coalesce(joined.bill_document_type, joined.document_type),
        invoice_date=ibis.coalesce(joined.invoice_date, joined.bill_invoice_date),
        received_at=ibis.coalesce(joined.bill_received_at, joined.received_at),
        currency=currency,
        total_ht=total("total_ht"),
        total_ttc=total("total_ttc"),
        line_count=joined.line_count,
        source_status=joined.source_status,
        source_type=joined.source_type,
        source_sha256=ibis.coalesce(joined.bill_source_sha256, joined.source_sha256),
    )


def _bill(record: dict[str, Any], sha256: str) -> Bill:
    number = invoice_number(record)
    if not number:
        raise ValueError("'id' is missing")
    if not is_storable(number):
        raise ValueError("its number holds half of a surrogate pair, which is no character")
    kind = record.get("type")
    credit = isinstance(kind, str) and kind.strip().casefold() in _CREDIT_TYPES
    totals = [_amount(record, names) for names in (_TOTAL_HT, _TOTAL_TTC)]
    if credit:
        totals = [None if total is None else -abs(total) for total in totals]
    return Bill(
        bill_id=str(record.get("id")),
        invoice_id=number,
        document_type="credit_note" if credit else "invoice" if isinstance(kind, str) else None,
        currency=_currency(record),
        total_ht=totals[0],
        total_ttc=totals[1],
        invoice_date=_date(record.get("issueDate")),
        received_at=instant_field(record, "createdAt"),
        source_sha256=sha256,
    )


def _amount(record: Mapping[str, Any], names: tuple[str, ...]) -> Decimal | None:
    """A number, a text that holds one, or an object with either as `value`."""
    for name in names:
        stated = record.get(name)
        amount = decimal_field({name: stated.get("value") if isinstance(stated, Mapping) else stated}, name)
        if amount is not None:
            return amount
    return None


def _currency(record: Mapping[str, Any]) -> str | None:
    """`currency.id`, or `currency` where that is a text."""
    stated = record.get("currency")
    code = stated.get("id") if isinstance(stated, Mapping) else stated
    if code is None:
        return None
    if not isinstance(code, str) or code not in ISO_4217:
        raise ValueError("'currency' is not an ISO 4217 code")
    return code


def _date(stated: object) -> dt.date | None:
    """Only shown beside the rows' own Invoice Date, so that one of another form is left out."""
    try:
        return dt.date.fromisoformat(stated[:10]) if isinstance(stated, str) else None
    except ValueError:
        return None
