"""`docs`: what the analysts' views hold, as one web page on loopback: every column, what it rests on, its tests."""

from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from billing_pipeline.config import load_config
from billing_pipeline.errors import UsageError
from billing_pipeline.steps import marts
from billing_pipeline.steps.workspace import Workspace

HOST = "127.0.0.1"


def docs(path: Path, *, port: int) -> int:
    """Write the page under data_dir/dbt/docs and serve it until interrupted; needs nothing from the network."""
    with Workspace.open(load_config(path)) as workspace:
        marts.ensure_made(workspace)
        page = marts.make_docs(workspace)
    with _server(port, partial(_Page, directory=str(page.parent))) as server:
        print(f"the views' documentation is on http://{HOST}:{server.server_port}; Ctrl-C ends it", flush=True)
        print(f"the same page as a file: {page}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


class _Page(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nobody wants a line per request."""


def _server(port: int, handler: Callable[..., SimpleHTTPRequestHandler]) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        raise UsageError(f"--port {port}: {error.strerror}; name another one, or 0 for any free one") from None
