"""One token for all threads, renewed in time and after a refusal, and never anywhere but in a header."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from billing_pipeline.config import HttpSettings
from billing_pipeline.errors import ConfigurationError, SourceError, SourceRefused
from billing_pipeline.periods import Period
from billing_pipeline.sources.authorization import ClientCredentials
from billing_pipeline.sources.http import HttpClient
from billing_pipeline_tests.sources.conftest import Hub, reply
from billing_pipeline_tests.sources.shelf import CANARIES, QUICK, Shelf, credentials, orange, sandbox

EIGHT = HttpSettings(connect_timeout_s=2, read_timeout_s=2, deadline_s=10, attempts=3, concurrency=8)


class Account:
    """A token endpoint and an API on one socket; `valid` is the token the API accepts."""

    def __init__(self, hub: Hub, expires_in: object = "3600") -> None:
        self.hub = hub
        self.expires_in = expires_in
        self.issued = 0
        self.valid = ""
        self._lock = threading.Lock()
        hub.answer = self.answer

    def answer(self, handler) -> None:
        if handler.path == "/token":
            with self._lock:
                self.issued += 1
                self.valid = f"token-{self.issued}"
            body = {"access_token": self.valid, "token_type": "Bearer"}
            if self.expires_in is not None:
                body["expires_in"] = self.expires_in
            reply(handler, 200, json.dumps(body).encode())
        elif handler.headers["Authorization"] != f"Bearer {self.valid}":
            reply(handler, 401, b'{"code": 42, "message": "Expired credentials", "description": "-"}')
        else:
            reply(handler, 200, b"{}")

    @contextmanager
    def client(self, settings: HttpSettings = EIGHT):
        authorization = ClientCredentials(f"{self.hub.url}/token", credentials())
        with HttpClient(self.hub.url, authorization=authorization, settings=settings) as client:
            yield client


def test_eight_threads_with_a_revoked_token_make_one_token_call(hub):
    account = Account(hub)
    with account.client() as client:
        client.get_json("/v1")
        account.valid = "revoked by the operator"
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: client.get_json("/v1"), range(8)))
    assert account.issued == 2


def test_a_token_endpoint_that_cannot_be_reached_is_the_one_that_is_named(hub):
    authorization = ClientCredentials("http://127.0.0.1:1/token", credentials())
    settings = HttpSettings(attempts=1)
    with (
        HttpClient(hub.url, authorization=authorization, settings=settings) as client,
        pytest.raises(SourceError, match=r"POST http://127\.0\.0\.1:1/token: connection refused.*check token_url"),
    ):
        client.get_json("/v1")


def test_eight_threads_start_with_one_token_call(hub):
    account = Account(hub)
    with account.client() as client, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: client.get_json("/v1"), range(40)))
    assert account.issued == 1


@pytest.mark.parametrize("expires_in", [1, "1", "1.0"])
def test_a_token_is_renewed_before_it_ends_whatever_type_its_life_has(hub, expires_in):
    account = Account(hub, expires_in)
    with account.client() as client:
        client.get_json("/v1")
        assert account.issued == 1
        time.sleep(0.85)
        client.get_json("/v1")
    assert account.issued == 2
    assert sum(target == "/v1" for target in hub.requests) == 2


def test_a_token_without_a_stated_life_is_used_until_it_is_refused(hub):
    account = Account(hub, None)
    with account.client() as client:
        for _ in range(3):
            client.get_json("/v1")
    assert account.issued == 1


def test_a_token_that_is_refused_at_once_is_not_asked_for_over_and_over(hub):
    account = Account(hub)
    with account.client() as client:
        client.get_json("/v1")
        hub.answer = lambda handler: (
            account.answer(handler) if handler.path == "/token" else reply(handler, 401, b'{"code": 41}')
        )
        with pytest.raises(SourceRefused, match=r"code 41.*ORANGE_API_KEY") as caught:
            client.get_json("/v1")
    assert account.issued == 2
    assert not any(secret in str(caught.value) for secret in CANARIES.values())


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b'{"expires_in": 3600}', "access_token"),
        (200, b'{"access_token": "a\\r\\nX-Injected: 1"}', "access_token"),
        (200, b'{"access_token": "abc", "expires_in": "soon"}', "expires_in"),
        (401, b'{"code": 41}', "ORANGE_CLIENT_ID or ORANGE_CLIENT_SECRET"),
        (400, b'{"error": "invalid_client"}', "no token is given"),
    ],
)
def test_a_token_answer_that_is_none_is_one_line_without_secrets(hub, status, body, error):
    hub.answer = lambda handler: reply(handler, status, body)
    with Account(hub).client() as client:
        hub.answer = lambda handler: reply(handler, status, body)
        with pytest.raises(SourceError, match=error) as caught:
            client.get_json("/v1")
    assert "/token" in str(caught.value)
    assert not any(secret in str(caught.value) for secret in CANARIES.values())


def test_a_secret_that_no_header_can_carry_is_told_by_its_variable():
    with pytest.raises(ConfigurationError, match="ORANGE_API_KEY") as caught:
        credentials(ORANGE_API_KEY="two words")
    assert "two words" not in str(caught.value)
    assert "canary" not in repr(credentials())


def test_one_listing_and_one_token_serve_all_periods():
    with sandbox() as (url, app), closing(orange(url, settings=QUICK)) as source:
        for month in (1, 2, 3):
            assert source.collect(Period(2024, month), Shelf().keep).gaps == ()
        listed = [target for _, target in app.state.requests if target.startswith("/billing/b2b/v1/bills?")]
        assert len(app.state.orange_tokens.issued) == 1
    assert len(listed) == 1
    assert all("X-Api-Key" not in target for _, target in app.state.requests)
