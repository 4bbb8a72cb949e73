"""Every HTTP request this pipeline makes to an operator: timeouts, a deadline, retries, size caps, no secrets in errors.

The only module that imports httpx. What the answers mean is the sources' business.
"""

import datetime as dt
import email.utils
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

import httpx
import stamina

from billing_pipeline.config import HttpSettings
from billing_pipeline.errors import SourceError, SourceRefused

MAX_BODY_BYTES = 256 * 1024 * 1024
_RETRIED_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_RETRY_AFTER_S = 120.0
_KEPT_HEADERS = ("content-type", "content-length", "date", "etag", "last-modified", "x-total-count", "x-result-count")


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer with status 200. `url` holds no secret: keys travel in headers only."""

    url: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").split(";")[0].strip().lower()


class NotFound(SourceRefused):
    """The operator answered 404: what was asked for does not exist there."""


class _Retriable(Exception):
    """A fault that another attempt may cure. `wait_s` is what the server asked for, if anything."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class HttpClient:
    """GET requests below one base URL, with one bearer key. Thread-safe; close it after use."""

    def __init__(self, base_url: str, *, key: str, key_env: str, settings: HttpSettings) -> None:
        self._base_url = base_url.rstrip("/")
        self._key_env = key_env
        self._settings = settings
        self._client = httpx.Client(
            headers={
                "Authorization": f"Bearer {key}",
                "Accept": "application/json",
                # A gzip stream that is cut short looks complete to the client, so none is asked for.
                "Accept-Encoding": "identity",
            },
            timeout=httpx.Timeout(settings.read_timeout_s, connect=settings.connect_timeout_s),
            limits=httpx.Limits(max_connections=settings.concurrency),
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get_json(self, path: str, params: Mapping[str, str | int] | None = None) -> tuple[Answer, Any]:
        """The answer and its JSON, decimals exact (no float in between). SourceError once all attempts failed."""
        url = httpx.URL(self._base_url + path, params=dict(params or {}))
        try:
            for attempt in stamina.retry_context(
                on=_wait_before_next,
                attempts=self._settings.attempts,
                timeout=self._settings.deadline_s,
                wait_initial=0.2,
                wait_max=20.0,
                wait_jitter=0.5,
            ):
                with attempt:
                    answer = self._get(url)
                    return answer, _parse(answer)
        except _Retriable as fault:
            raise SourceError(
                f"GET {url}: {fault} after {self._settings.attempts} attempts; check base_url and the operator's "
                "status page, then run the period again"
            ) from None
        raise AssertionError("stamina ends by returning or raising")

    def _get(self, url: httpx.URL) -> Answer:
        deadline = time.monotonic() + self._settings.deadline_s
        with _faults_as_retriable(), self._client.stream("GET", url) as response:
            if response.status_code == httpx.codes.OK:
                return Answer(str(url), _read_capped(response, url, deadline), _kept_headers(response))
            self._refuse(response, url)
        raise AssertionError("_refuse always raises")

    def _refuse(self, response: httpx.Response, url: httpx.URL) -> None:
        status = response.status_code
        if status in _RETRIED_STATUS or status >= 500:
            raise _Retriable(f"HTTP {status}", _retry_after(response))
        if status in (401, 403):
            raise SourceRefused(
                f"GET {url}: HTTP {status}, the key in {self._key_env} is refused; put a valid one there"
            )
        if status == 404:
            raise NotFound(f"GET {url}: HTTP 404, there is no such document")
        if response.is_redirect:
            raise SourceRefused(
                f"GET {url}: HTTP {status} redirects elsewhere, which is not followed; correct base_url"
            )
        raise SourceRefused(f"GET {url}: HTTP {status}, the request is refused; check the operator's source settings")


def _wait_before_next(error: Exception) -> bool | float:
    if not isinstance(error, _Retriable):
        return False
    return True if error.wait_s is None else error.wait_s


@contextmanager
def _faults_as_retriable() -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as fault:
        raise _Retriable(f"no answer in time ({type(fault).__name__})") from None
    except httpx.ConnectError:
        raise _Retriable("connection refused or host not found") from None
    except httpx.TransportError as fault:
        raise _Retriable(f"connection broke off ({type(fault).__name__})") from None


def _read_capped(response: httpx.Response, url: httpx.URL, deadline: float) -> bytes:
    chunks, size = [], 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise SourceRefused(f"GET {url}: the answer is larger than {MAX_BODY_BYTES} bytes; it is not read")
        if time.monotonic() > deadline:
            raise _Retriable("the answer was still arriving at the deadline")
        chunks.append(chunk)
    return b"".join(chunks)


def _parse(answer: Answer) -> Any:
    if answer.media_type not in ("application/json", "text/json"):
        raise _Retriable(f"HTTP 200 with content type {answer.media_type or 'none'} instead of JSON")
    try:
        return json.loads(answer.body, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise _Retriable("HTTP 200 with a body that is not complete JSON") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _kept_headers(response: httpx.Response) -> dict[str, str]:
    return {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds the server asks us to wait: `Retry-After` holds a number or an HTTP date."""
    text: str = response.headers.get("retry-after", "").strip()
    if text.isdigit():
        return min(float(text), _LONGEST_RETRY_AFTER_S)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=dt.UTC)
    seconds: float = (at - dt.datetime.now(dt.UTC)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_S)
