"""Running the API: one process, one event loop, until interrupted. Binds the port before anything else is started."""

import asyncio
import contextlib
import ipaddress
import os
import socket

import uvicorn

from billing_pipeline.api.access import Access
from billing_pipeline.api.app import create_app
from billing_pipeline.errors import UsageError
from billing_pipeline.storage.reading import ReadPool

_STOP_S = 5
# Longer than the proxies and clients in front keep an idle connection (nginx: 60 s): closed from this side while a request
# is under way, it is an error over there. uvicorn's 5 s lost one request of 6 000.
_KEEP_ALIVE_S = 75
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; UsageError when the address is taken or not this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UsageError(f"--host {host!r} is no address of this machine") from None
    # Named by its protocol, asyncio switches Nagle's algorithm off; with it on, an answer's second half waited 44 ms.
    listener = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from None
    return listener


def is_loopback(host: str) -> bool:
    """Whether every address of `host` can be reached from this machine alone."""
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(address).is_loopback for address in found)


def serve_forever(listener: socket.socket, url: str, operators: tuple[str, ...], access: Access, host: str) -> None:
    """Answers on `listener` out of the database at `url` until interrupted; requests under way are finished."""

    async def run() -> None:
        pool = ReadPool(url)
        hosts = None if access.asks else {*_LOOPBACK_HOSTS, host, f"[{host}]"}
        app = create_app(pool, operators, access, hosts=hosts)
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_config=None, log_level="critical", access_log=False, lifespan="off", ws="none",
                server_header=False, timeout_graceful_shutdown=_STOP_S, timeout_keep_alive=_KEEP_ALIVE_S,
                # Who says that a request came from elsewhere is believed only where the administrator names the proxy.
                proxy_headers="FORWARDED_ALLOW_IPS" in os.environ,
            )
        )  # fmt: skip
        try:
            await server.serve(sockets=[listener])
        finally:
            await pool.close()

    # uvicorn raises the interrupt again once it has shut down in order; for a foreground command that is its end.
    with contextlib.closing(listener), contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())
