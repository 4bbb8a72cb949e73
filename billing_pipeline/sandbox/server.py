"""Running the sandbox's application on 127.0.0.1: in a thread for the demo and tests, or in the foreground."""

import asyncio
import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from billing_pipeline.errors import BillingError, UsageError
from billing_pipeline.sandbox.fault_effects import TRANSPORT

HOST = "127.0.0.1"
_START_TIMEOUT_S = 10.0
_POLL_S = 0.005


class _ProtocolWithTransport(H11Protocol):
    """uvicorn's HTTP/1.1, which hands the connection's transport to the application: faults break it for real."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        served = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[TRANSPORT] = transport
            await served(scope, receive, send)

        self.app = app


class SandboxServer:
    """`with SandboxServer(app) as server:` serves until the block ends. Port 0 takes a free one.

    The port is bound on entering, so `port` and `base_url` are usable inside the block. UsageError when it is taken.
    """

    def __init__(self, app: ASGIApp, port: int = 0) -> None:
        self._app = app
        self._wanted_port = port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.port = port

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        listener = _listen(self._wanted_port)
        self.port = listener.getsockname()[1]
        server = uvicorn.Server(_configuration(self._app))
        thread = threading.Thread(target=server.run, args=([listener],), name="billing-sandbox", daemon=True)
        self._server, self._thread = server, thread
        thread.start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                self._stop()
                listener.close()
                raise BillingError(f"the sandbox did not start on {self.base_url}")
            time.sleep(_POLL_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        self._server = self._thread = None


def serve_forever(app: ASGIApp, port: int) -> None:
    """Serves on 127.0.0.1:`port` until interrupted. UsageError when the port is taken."""
    listener = _listen(port)
    # uvicorn raises the interrupt again once it has shut down in order; for a foreground command that is its end.
    with contextlib.closing(listener), contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(_configuration(app)).run([listener])


def _listen(port: int) -> socket.socket:
    # asyncio switches Nagle's algorithm off only where the protocol is named; with it on, the second half of every
    # answer waited 44 ms for the client's delayed acknowledgement (1.5 ms without).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        # Listening from here on: a second sandbox on the port fails at once, and an early client waits, not fails.
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"the sandbox cannot listen on {HOST}:{port}: {why}; choose another with --port") from None
    return listener


def _configuration(app: ASGIApp) -> uvicorn.Config:
    """Quiet, without lifespan and websockets; an open connection delays the stop by 2 s at most."""
    return uvicorn.Config(
        app, log_config=None, log_level="critical", access_log=False, lifespan="off", ws="none", loop="asyncio",
        http=_ProtocolWithTransport, timeout_graceful_shutdown=2,
    )  # fmt: skip
