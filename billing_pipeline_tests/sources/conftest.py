"""A hub on a real socket whose answers a test decides, request by request; a database server and months that went well."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from billing_pipeline_tests.sources.books import COMPLETE, MARCH, Book, Came, Server, started
from billing_pipeline_tests.sources.came_right import NETWO, ORANGE
from billing_pipeline_tests.sources.shelf import reseller

Answer = Callable[[BaseHTTPRequestHandler], None]


class Hub:
    """`answer` handles every GET and POST; `requests` lists their targets."""

    def __init__(self) -> None:
        self.answer: Answer = lambda handler: reply(handler, 404, b"{}")
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.requests.append(self.path)
                hub.headers.append(dict(self.headers))
                hub.answer(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **given}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    hub.start()
    yield hub
    hub.stop()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with started() as server:
        yield server


@pytest.fixture(scope="session")
def evaluated(server: Server) -> dict[str, tuple[Book, Came]]:
    """Each source's month after a run without faults. To be read; who runs something in it takes a copy."""
    return {source: _evaluated(server, source) for source in (NETWO, ORANGE)}


def _evaluated(server: Server, source: str) -> tuple[Book, Came]:
    book = server.book(source)
    came = book.come_to(reseller(), MARCH)
    assert came.kind == COMPLETE, came.why
    (summary,) = came.tables["reconciliation_summary"]
    assert summary["state"] == "EVALUATED"
    assert len(came.tables["invoice_lines"]) > 40
    return book, came
