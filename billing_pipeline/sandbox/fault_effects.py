"""Faults of transport and of whole answers: what goes over the socket instead of the right bytes.

An effect is an ASGI application around another one. Those that break a connection write to uvicorn's transport
themselves, since ASGI has no word for half an answer. Changes inside the JSON are fault_rewrites.py.
"""

import asyncio
import datetime as dt
import email.utils
import gzip
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing_pipeline.sandbox.orange import too_large

DRIP_S = 0.2
# Where the server leaves the connection's transport for us (server.py).
TRANSPORT = "billing_pipeline.transport"
_HTML = b"<!DOCTYPE html><html><body><h1>Maintenance</h1><p>Back soon.</p></body></html>"
_BURST = (503, 500, 502)
Headers = Sequence[tuple[bytes, bytes]]


class Captured(NamedTuple):
    """A whole answer of the application inside."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> bytes:
        return next((value for key, value in self.headers if key.lower() == name), b"")

    def without(self, *names: bytes) -> list[tuple[bytes, bytes]]:
        return [(key, value) for key, value in self.headers if key.lower() not in names]


@dataclass(slots=True)
class Occasion:
    """One time a fault happens: which of its matching requests it is (from 1), its own randomness, its memory.

    `memory` is the same for all occasions of one fault in one application.
    """

    ordinal: int
    rng: random.Random
    memory: dict[Any, Any] = field(default_factory=dict)


Effect = Callable[[ASGIApp, Occasion, Scope, Receive, Send], Awaitable[None]]


async def captured(app: ASGIApp, scope: Scope, receive: Receive) -> Captured:
    start: Message = {}
    body = bytearray()

    async def keep(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, keep)
    return Captured(start["status"], list(start.get("headers", [])), bytes(body))


async def answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """A complete answer; its Content-Length is that of `body`."""
    kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*kept, length]})
    await send({"type": "http.response.body", "body": body})


def _transport(scope: Scope) -> asyncio.Transport:
    transport = scope.get("extensions", {}).get(TRANSPORT)
    if not isinstance(transport, asyncio.Transport):
        raise RuntimeError("this fault breaks a real connection: serve the application with sandbox/server.py")
    return transport


async def _until_gone(receive: Receive) -> None:
    """Until the connection is lost; only then does uvicorn leave it to us how the answer ends."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _reset_now(scope: Scope, receive: Receive) -> None:
    transport = _transport(scope)
    connection: socket.socket = transport.get_extra_info("socket")
    # Lingering for 0 s turns the close into a reset (RST) instead of an orderly end (socket(7), SO_LINGER).
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _until_gone(receive)


async def _end_early(scope: Scope, receive: Receive, status: int, headers: Headers, body: bytes) -> None:
    """Exactly these headers and bytes, then an orderly end of the connection."""
    transport = _transport(scope)
    lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
    lines += [name + b": " + value for name, value in headers]
    transport.write(b"\r\n".join([*lines, b"Connection: close", b"", b""]) + body)
    transport.close()
    await _until_gone(receive)


async def reset(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    await _reset_now(scope, receive)


async def answer_lost(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    await captured(app, scope, receive)
    await _reset_now(scope, receive)


async def answer_withheld(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    await captured(app, scope, receive)
    await _until_gone(receive)


async def error_after_effect(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    await captured(app, scope, receive)
    await _refuse(send, 502, [])


async def silence(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    await _until_gone(receive)


async def truncated_body(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    right = await captured(app, scope, receive)
    length = (b"content-length", b"%d" % len(right.body))
    half = right.body[: len(right.body) // 2]
    await _end_early(scope, receive, right.status, [*right.without(b"content-length"), length], half)


async def truncated_without_length(
    app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send
) -> None:
    right = await captured(app, scope, receive)
    half = right.body[: len(right.body) // 2]
    await _end_early(scope, receive, right.status, right.without(b"content-length"), half)


async def gzip_cut(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    right = await captured(app, scope, receive)
    packed = gzip.compress(right.body, mtime=0)
    headers = [*right.headers, (b"content-encoding", b"gzip")]
    await answer(send, right.status, headers, packed[: len(packed) // 2])


async def drip(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    right = await captured(app, scope, receive)
    await send({"type": "http.response.start", "status": right.status, "headers": right.headers})
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        for position in range(len(right.body)):
            await send({"type": "http.response.body", "body": right.body[position : position + 1], "more_body": True})
            await asyncio.wait({gone}, timeout=DRIP_S)
            if gone.done():
                return
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


async def rate_limit_seconds(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    await _refuse(send, 429, [(b"retry-after", b"1")])


async def rate_limit_date(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
    await _refuse(send, 429, [(b"retry-after", email.utils.format_datetime(at, usegmt=True).encode())])


async def server_error_burst(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    await _refuse(send, _BURST[(occasion.ordinal - 1) % len(_BURST)], [])


async def _refuse(send: Send, status: int, headers: Headers) -> None:
    words = HTTPStatus(status).phrase
    body = f'{{"code": {status}, "message": "{words}", "description": "{words}"}}'.encode()
    await answer(send, status, [*headers, (b"content-type", b"application/json")], body)


async def malformed_json(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    right = await captured(app, scope, receive)
    await answer(send, right.status, right.headers, right.body[: max(1, len(right.body) * 2 // 3)])


async def html_with_200(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, 200, [(b"content-type", b"text/html; charset=utf-8")], _HTML)


async def wrong_content_type(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    right = await captured(app, scope, receive)
    headers = [*right.without(b"content-type"), (b"content-type", b"application/octet-stream")]
    await answer(send, right.status, headers, right.body)


async def redirect(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    """To `localhost`, which is another host than 127.0.0.1 to a client and yet us: who follows is in the log."""
    server = scope.get("server") or ("localhost", 80)
    target = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
    location = f"http://localhost:{server[1]}{target}"
    await answer(send, 302, [(b"location", location.encode("latin-1", "replace"))], b"")


async def token_expires(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    scope["app"].state.orange_tokens.expire(_bearer(scope))
    await app(scope, receive, send)


async def token_revoked(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    scope["app"].state.orange_tokens.revoke(_bearer(scope))
    await app(scope, receive, send)


def _bearer(scope: Scope) -> str:
    header: bytes = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    return header.decode("latin-1").partition(" ")[2].strip()


async def oversized_report(app: ASGIApp, occasion: Occasion, scope: Scope, receive: Receive, send: Send) -> None:
    right = await captured(app, scope, receive)
    if right.status != HTTPStatus.OK:
        await answer(send, *right)
        return
    await too_large()(scope, receive, send)
