"""Faults inside a JSON answer: items, counts, ids and values that are not what they should be.

Each changes an answer of the application inside that is 200 and JSON; any other passes as it is. Numbers keep their
digits. Faults of the connection and of whole answers are fault_effects.py, of counts and pages fault_paging.py.
"""

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from billing_pipeline.exact_json import exact_json
from billing_pipeline.sandbox.fault_effects import Captured, Effect, Occasion, answer, captured

HUB_LIST = "/v1/billing/invoices"
_ORANGE = "/billing/b2b/v1/"
LISTS = frozenset({HUB_LIST, *(_ORANGE + name for name in ("bills", "billingAccounts", "reports"))})
_IDS = ("invoiceId", "id", "lineId")
_REQUIRED = ("invoiceId", "id", "lineId", "operator", "period", "totalHT", "totalTTC", "currency", "lineCount", "lines")
_UNKNOWN = {"x-unannounced": {"since": "v2", "values": [1, None, "é"]}}
HOSTILE_IDS = (
    "../../../../tmp/escape", "..\\..\\escape", "INV\r\nX-Injected: 1", "=HYPERLINK(\"http://x\")", "a/b?c=d#e%2F",
    "'; DROP TABLE billing.invoices; --", "\u202efdp.exe", "INV\x00", "9" * 300, " INV ", "%2e%2e%2fINV", "INV|2024-03",
)  # fmt: skip
_TYPES = ("estimate", "invoice", "asset", "advance", "purchase_order")
_STATES = ("draft", "finalized", "signed", "refused", "paid")


class Listing(NamedTuple):
    """One page as read: its JSON, and the list of items inside it, to be changed in place."""

    content: Any
    items: list[dict[str, Any]]


def listing_of(path: str, content: Any) -> Listing | None:
    if path == HUB_LIST and isinstance(content, dict):
        return Listing(content, content["invoices"])
    return Listing(content, content) if path in LISTS and isinstance(content, list) else None


def _records(path: str, content: Any) -> list[dict[str, Any]]:
    """What a fault of values happens to: the items of a list, the lines of a document, else the document."""
    listing = listing_of(path, content)
    if listing is not None:
        return listing.items
    if isinstance(content, list):
        return [one for one in content if isinstance(one, dict)]
    lines = content.get("lines") or content.get("items")
    return lines if isinstance(lines, list) and lines else [content]


def read_json(right: Captured) -> Any:
    """The JSON of a good answer; None where there is nothing to rewrite."""
    if right.status not in (200, 201) or not right.header(b"content-type").startswith(b"application/json"):
        return None
    return json.loads(right.body, parse_float=Decimal)


Change = Callable[[Occasion, str, Any], None]


def rewriting(change: Change) -> Effect:
    """The effect of changing the JSON in place."""

    async def effect(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
        right = await captured(app, scope, receive)
        content = read_json(right)
        if content is None:
            await answer(send, *right)
            return
        change(occasion, scope["path"], content)
        await answer(send, right.status, right.headers, exact_json(content).encode())

    return effect


def repeated_ids(occasion: Occasion, path: str, content: Any) -> None:
    items = _records(path, content)
    if len(items) > 1:
        items[-1] = items[0]
    else:
        items.extend(items[:1])


def line_count_disagrees(occasion: Occasion, path: str, content: Any) -> None:
    for item in content["invoices"][:1]:
        if isinstance(item.get("lineCount"), int):
            item["lineCount"] += 1


def numbers_as_strings(occasion: Occasion, path: str, content: Any) -> None:
    for record in _records(path, content):
        record.update({name: _as_text(value) for name, value in record.items()})


def _as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_text(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_as_text(one) for one in value]
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return value
    return exact_json(value)


def nulls(occasion: Occasion, path: str, content: Any) -> None:
    for record in _records(path, content):
        names = [name for name in record if name not in _IDS]
        if names:
            record[occasion.rng.choice(names)] = None


def unknown_fields(occasion: Occasion, path: str, content: Any) -> None:
    for record in _records(path, content):
        record.update(_UNKNOWN)
    if isinstance(content, dict):
        content.update(_UNKNOWN)


def missing_required_field(occasion: Occasion, path: str, content: Any) -> None:
    for record in _records(path, content)[:1]:
        names = [name for name in _REQUIRED if name in record]
        if names:
            del record[occasion.rng.choice(names)]


def enums_as_numbers(occasion: Occasion, path: str, content: Any) -> None:
    """The positions in the published lists of values, from 0."""
    for name, published in (("type", _TYPES), ("state", _STATES)):
        if content.get(name) in published:
            content[name] = published.index(content[name])


def hostile_ids(occasion: Occasion, path: str, content: Any) -> None:
    """The first items get the ids of HOSTILE_IDS, each for good: `memory` maps (list, hostile id) to the real one."""
    known = {(place, real): hostile for (place, hostile), real in occasion.memory.items()}
    free = [one for one in HOSTILE_IDS if (path, one) not in occasion.memory]
    for item in _records(path, content):
        name = next((one for one in _IDS if one in item), None)
        if name is None:
            continue
        hostile = known.get((path, item[name])) or (free.pop(0) if free else None)
        if hostile:
            occasion.memory[path, hostile] = item[name]
            item[name] = hostile


def under_hostile_id(app: ASGIApp, memory: dict[Any, Any]) -> ASGIApp:
    """Serves a document under the hostile id its list gave it: the path is led to the real one, the id led back."""

    async def serving(scope: Scope, receive: Receive, send: Send) -> None:
        for (place, hostile), real in memory.items():
            if scope["path"] == f"{place}/{hostile}":
                occasion = Occasion(1, random.Random(0), {"id": hostile})
                led = {**scope, "path": f"{place}/{real}", "raw_path": f"{place}/{real}".encode()}
                await rewriting(_renamed)(app, occasion, led, receive, send)
                return
        await app(scope, receive, send)

    return serving


def _renamed(occasion: Occasion, path: str, content: Any) -> None:
    name = next((one for one in _IDS if one in content), "id")
    content[name] = occasion.memory["id"]
