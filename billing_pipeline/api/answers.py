"""What goes back over the wire: JSON made elsewhere, refusals, and answers too long to be held in memory."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from fastapi import Response
from starlette.types import Message, Receive, Scope, Send

from billing_pipeline.errors import StorageError
from billing_pipeline.exact_json import exact_json

# Verdicts and prices are nobody's to keep, least of all a shared proxy's.
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
# Longer than this without taking a byte, a reader is not slow but gone, and its connection serves somebody else.
STALL_S = 30.0


class Refusal(Exception):
    """An answer that is an error; `content` is its JSON."""

    def __init__(
        self,
        status: int,
        error: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.content = {"error": error, **({"param": param} if param else {}), "message": message}
        self.headers = dict(headers or {})

    def response(self) -> Response:
        return json_response(exact_json(self.content), self.status, self.headers)


def invalid(param: str, message: str) -> Refusal:
    """400: this parameter cannot be what it is."""
    return Refusal(400, "invalid_parameter", f"{param}: {message}", param=param)


def json_response(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(text.encode(), status, {**HEADERS, **(headers or {})}, media_type="application/json")


def opened(content: dict[str, Any]) -> str:
    """The text of a JSON object, without its closing brace, for members that follow."""
    return exact_json(content)[:-1]


class StreamedJson(Response):
    """Parts of one JSON text, sent as they come. One that breaks off is cut off, so that nobody takes it for whole.

    The first part is made before anything is sent: a database that is away still gives an error. Once the client has
    left, or takes nothing for STALL_S seconds, no further part is made and what `parts` holds is let go.
    """

    media_type = "application/json"

    def __init__(self, parts: AsyncGenerator[str, None]) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._parts) as parts:
            part = await anext(parts)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            gone = asyncio.create_task(_wait_until_gone(receive))
            try:
                while not gone.done():
                    await _send_part(send, part)
                    part = await anext(parts)
            except StopAsyncIteration:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            except (StorageError, TimeoutError) as error:
                # The status is sent already; without its last chunk the answer is an error for every HTTP client.
                scope["cut_short"] = str(error) or f"the reader took nothing for {STALL_S:.0f} s"
            finally:
                gone.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await gone


async def _send_part(send: Send, part: str) -> None:
    async with asyncio.timeout(STALL_S):
        await send({"type": "http.response.body", "body": part.encode(), "more_body": True})


async def _wait_until_gone(receive: Receive) -> None:
    message: Message = {"type": ""}
    while message["type"] != "http.disconnect":
        message = await receive()
