"""What a request survives, what it gives up on, and what it never says: each over a real socket."""

import time
from decimal import Decimal
from itertools import count

import pytest

from billing_pipeline.config import HttpSettings
from billing_pipeline.errors import SourceError, SourceRefused
from billing_pipeline.sources.authorization import BearerKey
from billing_pipeline.sources.http import HttpClient
from billing_pipeline.sources.http_answer import NotFound
from billing_pipeline_tests.sources.conftest import Hub, reply

KEY = "canary-key-5f1c"
QUICK = HttpSettings(connect_timeout_s=2, read_timeout_s=1, deadline_s=20, attempts=3)


def client(hub: Hub, settings: HttpSettings = QUICK) -> HttpClient:
    return HttpClient(hub.url, authorization=BearerKey(KEY, "NETWO_API_KEY"), settings=settings)


def failing_then(failures: int, fail, hub: Hub) -> None:
    calls = count(1)

    def answer(handler) -> None:
        if next(calls) <= failures:
            fail(handler)
        else:
            reply(handler, 200, b'{"amount": 0.1}')

    hub.answer = answer


def cut_in_the_body(handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"amount"')
    handler.close_connection = True


def cut_without_a_length(handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(b'{"amount": 0.1')
    handler.close_connection = True


def silence(handler) -> None:
    time.sleep(1.5)
    handler.close_connection = True


@pytest.mark.parametrize(
    "fault",
    [
        lambda handler: reply(handler, 500, b"{}"),
        lambda handler: reply(handler, 503, b"{}"),
        lambda handler: reply(handler, 429, b"{}", Retry_After="0"),
        lambda handler: reply(handler, 408, b"{}"),
        lambda handler: reply(handler, 200, b"<html>", Content_Type="text/html"),
        lambda handler: reply(handler, 200, b'{"amount": NaN}'),
        lambda handler: reply(handler, 200, b'{"amount": '),
        cut_in_the_body,
        cut_without_a_length,
        silence,
    ],
)
def test_a_passing_fault_changes_nothing(hub, fault):
    failing_then(1, fault, hub)
    with client(hub) as http:
        _, document = http.get_json("/v1")
    assert document == {"amount": Decimal("0.1")}
    assert len(hub.requests) == 2


def test_a_lasting_fault_ends_in_one_line_that_names_request_and_remedy(hub):
    hub.answer = lambda handler: reply(handler, 503, b"{}")
    with client(hub) as http, pytest.raises(SourceError) as caught:
        http.get_json("/v1/billing/invoices", {"period": "2024-03"})
    message = str(caught.value)
    assert message.startswith(f"GET {hub.url}/v1/billing/invoices?period=2024-03: HTTP 503 after 3 attempts")
    assert "run the period again" in message
    assert len(hub.requests) == 3
    assert KEY not in message


def test_retry_after_is_waited_for(hub):
    failing_then(1, lambda handler: reply(handler, 429, b"{}", Retry_After="1"), hub)
    started = time.monotonic()
    with client(hub) as http:
        http.get_json("/v1")
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_refusal_is_asked_once_and_told_without_the_key(hub, status):
    hub.answer = lambda handler: reply(handler, status, b"{}")
    with client(hub) as http, pytest.raises(SourceRefused) as caught:
        http.get_json("/v1")
    assert len(hub.requests) == 1
    assert KEY not in str(caught.value)
    assert f"HTTP {status}" in str(caught.value)
    assert isinstance(caught.value, NotFound) == (status == 404)
    assert ("NETWO_API_KEY" in str(caught.value)) == (status in (401, 403))


def test_a_redirect_is_not_followed_so_the_key_goes_nowhere_else(hub):
    other = Hub()
    other.start()
    try:
        hub.answer = lambda handler: reply(handler, 302, b"", Location=f"{other.url}/v1")
        with client(hub) as http, pytest.raises(SourceRefused, match="redirects elsewhere"):
            http.get_json("/v1")
        assert other.requests == []
    finally:
        other.stop()


def test_a_drip_ends_at_the_deadline_although_bytes_keep_coming(hub):
    def drip(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        try:
            for _ in range(200):
                handler.wfile.write(b" ")
                time.sleep(0.1)
        except OSError:
            pass
        handler.close_connection = True

    hub.answer = drip
    settings = HttpSettings(connect_timeout_s=2, read_timeout_s=1, deadline_s=1, attempts=2)
    started = time.monotonic()
    with client(hub, settings) as http, pytest.raises(SourceError, match=r"bytes arrived in 1 s|deadline"):
        http.get_json("/v1")
    assert time.monotonic() - started < 6


def test_nobody_listening_is_an_unreachable_source(hub):
    url = hub.url
    settings = HttpSettings(attempts=2)
    with (
        HttpClient(url.replace("127.0.0.1", "127.0.0.2"), authorization=BearerKey(KEY, "K"), settings=settings) as http,
        pytest.raises(SourceError, match="connection refused or host not found after 2 attempts"),
    ):
        http.get_json("/v1")
