"""How an operator knows us: a fixed key, or a token that one client fetches once and renews. Sends nothing itself.

Secrets live here and in request headers, nowhere else: no repr, message or answer kept holds one.
"""

import asyncio
import base64
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from billing_pipeline.errors import ConfigurationError, SourceError

# (url, form fields, headers) → the JSON answer of a POST that is retried like any request and never kept.
AskToken = Callable[[str, Mapping[str, str], Mapping[str, str]], Awaitable[Any]]
# Orange's documented default, for an answer without `expires_in`.
DEFAULT_LIFE_S = 3600.0
# Share of a token's life after which a new one is fetched ahead of need.
RENEWED_AT = 0.8
_HEADER_TEXT = re.compile(r"[\x21-\x7e]+")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class Authorization(Protocol):
    """`secrets_in` names the environment variables at fault when the operator refuses us."""

    @property
    def secrets_in(self) -> str: ...

    async def headers(self, ask: AskToken) -> dict[str, str]:
        """What every request carries."""
        ...

    async def renewed(self, refused: Mapping[str, str], ask: AskToken) -> bool:
        """After a 401 to a request with the headers `refused`: whether trying again has a chance."""
        ...


@dataclass(frozen=True)
class BearerKey:
    """One key for good."""

    key: str = field(repr=False)
    key_env: str

    def __post_init__(self) -> None:
        _refuse_unsendable(self.key, self.key_env)

    @property
    def secrets_in(self) -> str:
        return self.key_env

    async def headers(self, ask: AskToken) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    async def renewed(self, refused: Mapping[str, str], ask: AskToken) -> bool:
        return False


@dataclass(frozen=True)
class Credentials:
    """The three secrets of an OAuth2 client with an API key, and the environment variables they stand in."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    api_key: str = field(repr=False)
    client_id_env: str
    client_secret_env: str
    api_key_env: str

    def __post_init__(self) -> None:
        for name in ("client_id", "client_secret", "api_key"):
            _refuse_unsendable(getattr(self, name), getattr(self, f"{name}_env"))


class ClientCredentials:
    """OAuth2 client credentials: one token for all requests, fetched under a lock, renewed early and after a 401."""

    def __init__(self, token_url: str, credentials: Credentials) -> None:
        self._token_url = token_url
        self._credentials = credentials
        self._lock = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0

    @property
    def secrets_in(self) -> str:
        given = self._credentials
        return f"{given.api_key_env}, {given.client_id_env} or {given.client_secret_env}"

    async def headers(self, ask: AskToken) -> dict[str, str]:
        async with self._lock:
            if not self._token or time.monotonic() >= self._renew_at:
                await self._fetch(ask)
            return self._headers()

    async def renewed(self, refused: Mapping[str, str], ask: AskToken) -> bool:
        """Of many requests refused with one token the first fetches another; the rest find it there."""
        async with self._lock:
            if self._headers() == refused:
                await self._fetch(ask)
        return True

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "X-Api-Key": self._credentials.api_key}

    async def _fetch(self, ask: AskToken) -> None:
        given = self._credentials
        basic = base64.b64encode(f"{given.client_id}:{given.client_secret}".encode()).decode()
        asked_at = time.monotonic()
        answer = await ask(self._token_url, {"grant_type": "client_credentials"}, {"Authorization": f"Basic {basic}"})
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not _HEADER_TEXT.fullmatch(token):
            raise SourceError(f"POST {self._token_url}: the answer has no usable 'access_token'; check token_url")
        self._renew_at = asked_at + RENEWED_AT * self._life(answer.get("expires_in"))
        self._token = token

    def _life(self, stated: object) -> float:
        """Seconds, stated as a number or as text."""
        if stated is None:
            return DEFAULT_LIFE_S
        if isinstance(stated, bool) or not _SECONDS.fullmatch(str(stated).strip()):
            raise SourceError(f"POST {self._token_url}: 'expires_in' is no number of seconds; check token_url")
        return float(str(stated).strip())


def _refuse_unsendable(secret: str, env: str) -> None:
    if not _HEADER_TEXT.fullmatch(secret):
        raise ConfigurationError(
            f"environment variable {env} holds a blank or a character that no HTTP header can carry; set it again"
        )
