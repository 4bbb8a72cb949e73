"""The OpenAPI document's schemas, out of the declared shapes, and what every answer of the API has in common."""

from collections.abc import Sequence
from typing import Any

from billing_pipeline.reports.hub_shapes import (
    INVOICE_ID,
    LINE,
    LISTED,
    OPERATOR,
    OPERATOR_ITEM,
    PERIOD,
    SUMMARY,
    TOTALS,
    Form,
    Member,
)

Schema = dict[str, Any]
_TYPES: dict[Form, Schema] = {
    Form.TEXT: {"type": "string"},
    Form.AMOUNT: {"type": "number"},
    Form.QUANTITY: {"type": "number"},
    Form.COUNT: {"type": "integer"},
    Form.INSTANT: {"type": "string", "format": "date-time"},
}


def _member(member: Member) -> Schema:
    made = {**_TYPES[member.form], "description": member.meaning}
    if member.nullable and not member.absent_when_null:
        made["type"] = [made["type"], "null"]
    return made


def _object(*members: Member | tuple[str, Schema], optional: Sequence[str] = ()) -> Schema:
    properties, required = {}, []
    for member in members:
        name, schema = (member.name, _member(member)) if isinstance(member, Member) else member
        properties[name] = schema
        if name not in optional and not (isinstance(member, Member) and member.absent_when_null):
            required.append(name)
    return {"type": "object", "properties": properties, "required": required}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(name: str) -> Schema:
    return {"type": "array", "items": ref(name)}


_COUNT = {"type": "integer", "minimum": 0}
_STATE: tuple[str, Schema] = ("state", {"type": "string", "enum": ["EVALUATED", "NOT_EVALUATED"]})
_DETAIL: tuple[str, Schema] = (
    "stateDetail",
    {"type": "string", "description": "Why it is not evaluated, or what else is to be known of the state."},
)

SCHEMAS: dict[str, Schema] = {
    "Operator": _object(*OPERATOR),
    "Pagination": _object(
        ("page", {"type": "integer", "minimum": 1}), ("perPage", {"type": "integer", "minimum": 1}), ("total", _COUNT)
    ),
    "Invoice": _object(INVOICE_ID, ("operator", ref("Operator")), PERIOD, *LISTED),
    "InvoiceList": _object(("invoices", _list("Invoice")), ("pagination", ref("Pagination"))),
    "InvoiceLine": _object(*LINE),
    "InvoiceDetail": _object(
        INVOICE_ID, ("operator", ref("Operator")), PERIOD, ("lines", _list("InvoiceLine")), *TOTALS
    ),
    "Summary": _object(*SUMMARY),
    "OperatorState": _object(
        ("code", {"type": "string"}), _STATE, _DETAIL, ("summary", ref("Summary")), optional=["stateDetail"]
    ),
    "Item": _object(*OPERATOR_ITEM),
    "Reconciliation": _object(
        PERIOD,
        _STATE,
        _DETAIL,
        ("summary", ref("Summary")),
        (
            "operators",
            {**_list("OperatorState"), "description": "Each operator's part; absent when one was asked for."},
        ),
        ("items", _list("Item")),
        ("pagination", {**ref("Pagination"), "description": "Present when a page was asked for."}),
        optional=["stateDetail", "operators", "pagination"],
    ),
    "Error": _object(
        ("error", {"type": "string", "description": "What kind of error, for programs."}),
        ("param", {"type": "string", "description": "The parameter at fault."}),
        ("message", {"type": "string", "description": "What is wrong and what to do, for people."}),
        optional=["param"],
    ),
}

_ERRORS = {
    400: "A parameter is wrong; `param` names it.",
    401: "No valid key.",
    404: "There is no such thing.",
    429: "Too many requests without a valid key from this address; see Retry-After.",
    500: "A defect of this program.",
    503: "The database is away or busy; see Retry-After.",
}


def responses(answer: str, **more: str) -> dict[int | str, dict[str, Any]]:
    """What an operation can answer: `answer` names its schema, `more` are further errors (`e409="…"`)."""
    errors = {**_ERRORS, **{int(code[1:]): text for code, text in more.items()}}
    made: dict[int | str, dict[str, Any]] = {200: {"description": "Found.", **_json(answer)}}
    made.update({code: {"description": text, **_json("Error")} for code, text in sorted(errors.items())})
    return {**made, "default": {"description": "Any other error.", **_json("Error")}}


def _json(name: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": ref(name)}}}
