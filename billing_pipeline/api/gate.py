"""The outermost layer: who may pass, one line per request in the log, and an answer where the application has none.

The line holds no query and no header: whatever a caller put there, a key in the wrong place included, is nobody's.
"""

import logging
import re
import time
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing_pipeline.api.access import Access
from billing_pipeline.api.answers import Refusal
from billing_pipeline.errors import one_line

DEFECT = "this answer could not be made; the server's log says more"
_log = logging.getLogger(__name__)
_PORT = re.compile(rb":[0-9]+$")


class Gate:
    """`app` behind the keys of `access`; `open_paths` need none. With `hosts`, only requests that name one of them."""

    def __init__(
        self, app: ASGIApp, access: Access, *, open_paths: Collection[str], hosts: Collection[str] | None = None
    ) -> None:
        self._app = app
        self._access = access
        self._open_paths = frozenset(open_paths)
        self._hosts = None if hosts is None else {host.encode().lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._admit(scope)
            await self._app(scope, receive, noting)
        except Refusal as refusal:
            await refusal.response()(scope, receive, noting)
        except Exception as error:
            _log.error("unexpected %s (this is a defect; --debug shows where)", type(error).__name__)
            _log.debug("where it happened", exc_info=error)
            if not status:
                await Refusal(500, "internal_error", DEFECT).response()(scope, receive, noting)
        finally:
            took_ms = (time.perf_counter() - started) * 1000
            cut_short = f", cut short: {scope['cut_short']}" if "cut_short" in scope else ""
            place = f"{scope['method']} {one_line(scope['path'])}"
            _log.info("%s %s %d %.1f ms%s", _address(scope), place, status, took_ms, cut_short)

    def _admit(self, scope: Scope) -> None:
        if self._hosts is not None:
            named = [_PORT.sub(b"", value).lower() for name, value in scope["headers"] if name == b"host"]
            if len(named) != 1 or named[0] not in self._hosts:
                # A page in a browser on this machine may call itself by any name that resolves to 127.0.0.1.
                raise Refusal(421, "wrong_host", "this server, which asks for no key, answers to its own address only")
        if scope["path"] not in self._open_paths:
            given = [value for name, value in scope["headers"] if name == b"authorization"]
            self._access.check(given, _address(scope))


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "?"
