"""The server: quick to start, gone when it is stopped, and counting who asked."""

import logging
import socket
import threading
import time

import httpx
import pytest

from billing_pipeline.errors import UsageError
from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.reseller import Reseller, generate_reseller
from billing_pipeline.sandbox.server import SandboxServer, serve_forever


@pytest.fixture(scope="module")
def small_reseller() -> Reseller:
    return generate_reseller(scale=10)


def test_it_starts_at_once_and_leaves_nothing_behind(
    small_reseller: Reseller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before = set(threading.enumerate())
    start = time.perf_counter()
    with SandboxServer(create_app(small_reseller, api_key="k")) as server:
        assert time.perf_counter() - start < 1
        assert server.port > 0
        assert server.base_url == f"http://127.0.0.1:{server.port}"
        # A client that keeps its connection open must not keep the server alive.
        idle = httpx.Client(trust_env=False)
        assert idle.get(f"{server.base_url}/v1/billing/invoices").status_code == 401
    idle.close()
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=2)
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_it_stops_when_the_block_fails(small_reseller: Reseller) -> None:
    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="boom"), SandboxServer(create_app(small_reseller, api_key="k")):
        raise RuntimeError("boom")
    assert set(threading.enumerate()) == before


def test_it_can_be_started_again_on_the_same_port(small_reseller: Reseller) -> None:
    server = SandboxServer(create_app(small_reseller, api_key="k"))
    with server:
        port = server.port
    with SandboxServer(create_app(small_reseller, api_key="k"), port=port) as again:
        assert again.port == port


def test_a_port_in_use_is_said_in_one_line(small_reseller: Reseller) -> None:
    app = create_app(small_reseller, api_key="k")
    with SandboxServer(app) as server:
        with pytest.raises(UsageError, match=rf"{server.port}.*--port"), SandboxServer(app, port=server.port):
            pass
        with pytest.raises(UsageError, match=str(server.port)):
            serve_forever(app, server.port)


def test_an_answer_does_not_wait_for_the_clients_acknowledgement(small_reseller: Reseller) -> None:
    with (
        SandboxServer(create_app(small_reseller, api_key="k")) as server,
        httpx.Client(base_url=server.base_url, trust_env=False) as client,
    ):
        client.get("/")
        fastest = min(client.get("/").elapsed.total_seconds() for _ in range(50))
    # 40 ms at the least with Nagle's algorithm on, however idle the machine; 1 ms without.
    assert fastest < 0.03


def test_every_request_is_counted_refused_ones_too(small_reseller: Reseller) -> None:
    app = create_app(small_reseller, api_key="k")
    with SandboxServer(app) as server, httpx.Client(base_url=server.base_url, trust_env=False) as client:
        client.get("/v1/billing/invoices", params={"period": "2024-03", "page": 2})
        client.get("/nowhere")
    assert app.state.requests == [("GET", "/v1/billing/invoices?period=2024-03&page=2"), ("GET", "/nowhere")]


def test_an_empty_key_would_let_everybody_in(small_reseller: Reseller) -> None:
    with pytest.raises(ValueError, match="key"):
        create_app(small_reseller, api_key="")
