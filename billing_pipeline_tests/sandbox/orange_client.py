"""A caller of the sandbox's Orange API: the token, the headers, and every bill as the oracle of queries. No checks."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import httpx
from starlette.applications import Starlette

from billing_pipeline.sandbox.access import DEMO_SECRETS, ORANGE_ID, ORANGE_KEY, ORANGE_SECRET
from billing_pipeline.sandbox.server import SandboxServer

BASE = "/billing/b2b/v1"
CREDENTIALS = (DEMO_SECRETS[ORANGE_ID], DEMO_SECRETS[ORANGE_SECRET])
FORM = {"grant_type": "client_credentials"}


@contextmanager
def orange_client(app: Starlette) -> Iterator[httpx.Client]:
    """A client of the served app with a fresh token and the API key in its headers."""
    with (
        SandboxServer(app) as server,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=20) as client,
    ):
        client.headers["X-Api-Key"] = DEMO_SECRETS[ORANGE_KEY]
        client.headers["Authorization"] = f"Bearer {new_token(client)}"
        yield client


def new_token(client: httpx.Client) -> str:
    answer = client.post("/oauth/v3/token", data=FORM, auth=CREDENTIALS)
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    assert isinstance(token, str)
    return token


def exact(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text, parse_float=Decimal)


def everything(client: httpx.Client, collection: str = "bills") -> list[dict[str, Any]]:
    found = exact(client.get(f"{BASE}/{collection}", params={"limit": 1000}))
    assert isinstance(found, list)
    return found
