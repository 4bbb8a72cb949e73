"""Faults of lists over several pages: a total that promises too much, items that come or go while pages are read."""

from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing_pipeline.exact_json import exact_json
from billing_pipeline.sandbox.fault_effects import Captured, Occasion, answer, captured
from billing_pipeline.sandbox.fault_rewrites import HUB_LIST, listing_of, read_json
from billing_pipeline.sandbox.faults import FaultRule


async def total_promises_more(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    right = await captured(app, scope, receive)
    content = read_json(right)
    if content is not None:
        right = _with_total(right, scope["path"], content, 1 + _total(right, content))
    await answer(send, *right)


class PagingFault:
    """A list that changes after its first page was read: its first item comes (it was not there before) or goes.

    It happens to readings of more than one page, which it counts by their first pages; a reading is known by its path
    and its parameters besides the page. What came stays, what went stays away, until the next reading it happens to.
    """

    def __init__(self, rule: FaultRule) -> None:
        self.name = rule.fault.name
        self._inserts = rule.fault.name == "item_inserted_while_paging"
        self._rule = rule
        self._readings = 0
        self._disturbed: set[Any] = set()
        self._gone: dict[Any, int] = {}
        self.happened = 0

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        right = await captured(app, scope, receive)
        content = read_json(right)
        window = _Window.of(scope) if content is not None else None
        if window is None or _total(right, content) <= window.size:
            await answer(send, *right)
            return
        hidden = self._hidden(_reading(scope), first_page=window.start == 0)
        whole = (await _whole(app, scope))[hidden:]
        listing = listing_of(scope["path"], content)
        assert listing is not None  # the rule matches lists only
        listing.items[:] = whole[window.start : window.start + window.size]
        await answer(send, *_with_total(right, scope["path"], content, len(whole)))

    def _hidden(self, reading: Any, *, first_page: bool) -> int:
        """How many of the first items are not in the list as this page is read."""
        if first_page:
            self._disturbed.discard(reading)
            self._readings += 1
            if self._rule.happens(self._readings):
                self._disturbed.add(reading)
                self.happened += 1
                return 1 if self._inserts else self._gone.get(reading, 0)
        elif reading in self._disturbed and not self._inserts:
            self._disturbed.discard(reading)
            self._gone[reading] = self._gone.get(reading, 0) + 1
        return self._gone.get(reading, 0)


def _total(right: Captured, content: Any) -> int:
    if isinstance(content, dict):
        return int(content["pagination"]["total"])
    return int(right.header(b"x-total-count"))


def _with_total(right: Captured, path: str, content: Any, total: int) -> Captured:
    listing = listing_of(path, content)
    assert listing is not None  # only lists declare a total
    headers = right.headers
    if isinstance(content, dict):
        content["pagination"]["total"] = total
    else:
        counts = [(b"x-total-count", b"%d" % total), (b"x-result-count", b"%d" % len(listing.items))]
        headers = [*right.without(b"x-total-count", b"x-result-count"), *counts]
    return Captured(right.status, headers, exact_json(content).encode())


class _Window(NamedTuple):
    start: int
    size: int

    @classmethod
    def of(cls, scope: Scope) -> "_Window":
        """The page asked for; the application inside has already refused a wrong one."""
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if scope["path"] == HUB_LIST:
            size = int(query.get("perPage", 50))
            return cls((int(query.get("page", 1)) - 1) * size, size)
        return cls(int(query.get("offset", 0)), int(query.get("limit", 10)))


def _reading(scope: Scope) -> tuple[str, tuple[tuple[str, str], ...]]:
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return scope["path"], tuple(sorted(pair for pair in query if pair[0] not in ("page", "offset")))


async def _whole(app: ASGIApp, scope: Scope) -> list[dict[str, Any]]:
    """Every item of the list, in its order, read from the application inside."""
    hub = scope["path"] == HUB_LIST
    size = 200 if hub else 1000
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    kept: list[tuple[str, str | int]] = [
        pair for pair in query if pair[0] not in ("page", "perPage", "offset", "limit")
    ]
    items: list[dict[str, Any]] = []
    while True:
        page = {"page": len(items) // size + 1, "perPage": size} if hub else {"offset": len(items), "limit": size}
        led = {**scope, "query_string": urlencode([*kept, *page.items()]).encode()}
        right = await captured(app, led, _no_body)
        content = read_json(right)
        listing = listing_of(scope["path"], content)
        if listing is None or not listing.items:
            return items
        items += listing.items
        if len(items) >= _total(right, content):
            return items


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
