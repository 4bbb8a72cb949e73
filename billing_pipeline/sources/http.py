"""Every HTTP request this pipeline makes to an API: a deadline, retries, bounded concurrency, no secrets in errors.

The only module that imports httpx. Requests run on one event loop per client, so that the deadline ends whatever they
wait for: a name, a slow drip of headers, a queue. What the answers mean is the sources' business; how a body is read,
and when it is not believed, stands in http_body.py; what an answer is, and the ways to fail, in http_answer.py.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from billing_pipeline.config import HttpSettings
from billing_pipeline.errors import SourceRefused, SourceUnreachable, StorageError
from billing_pipeline.exact_json import exact_json
from billing_pipeline.sources.authorization import Authorization
from billing_pipeline.sources.http_answer import (
    Answer,
    NotFound,
    OutcomeUnknown,
    Refused,
    Retriable,
    Unauthorized,
    asked_wait_s,
    code_in,
    parsed,
    parsed_names,
)
from billing_pipeline.sources.http_body import MAX_BODY_BYTES, Body, BodyTooLarge, BodyUnusable, BodyWriter
from billing_pipeline.sources.loop_thread import LoopThread

# At INFO and DEBUG these log every URL with its query and every answer's headers.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.2, 20.0
_RETRIED_STATUS = frozenset({408, 429})
_CHANGED = frozenset({200, 201, 204})
_NOT_KNOWN = "whether it was carried out is not known; run again, which finds out first"
# A refusal's own words are read this far and no further; only its code is ever repeated.
_REFUSAL_BYTES = 4096
# Parsing more than this in the loop would hold up the other requests for over 10 ms.
_PARSED_ASIDE_BYTES = 512 * 1024
# Slower than any line that still works: 1 KiB in a read timeout (30 s unless configured).
_SLOWEST_BYTES = 1024
_KEPT_HEADERS = ("content-type", "content-length", "date", "etag", "last-modified", "x-total-count", "x-result-count")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: httpx.URL
    accept: str = "application/json"
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    target: Path | None = None
    limit: int = MAX_BODY_BYTES
    succeeds_with: frozenset[int] = frozenset({200})
    repeatable: bool = True
    in_memory: int = 0

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


class HttpClient:
    """Requests below one base URL. Thread-safe; at most `settings.concurrency` at once; close it after use, for good."""

    def __init__(self, base_url: str, *, authorization: Authorization, settings: HttpSettings) -> None:
        self._base_url = base_url.rstrip("/")
        self._authorization = authorization
        self._settings = settings
        self._loop = LoopThread("billing-http")
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._resume_at = 0.0
        self._opened: httpx.AsyncClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._opened is not None:
            self._loop.run(self._opened.aclose())
            self._opened = None
        self._loop.close()

    def get_json(self, path: str, params: Mapping[str, str | int] | None = None) -> tuple[Answer, Any]:
        """The answer and its JSON, decimals exact (no float in between). SourceError once all attempts failed."""
        return self._loop.run(self._complete(_Request("GET", self._url(path, params)), parsed))

    def get_names(self, path: str) -> tuple[Answer, Any]:
        """As get_json, for ids and other texts only: amounts in it are inexact, and are read from the kept bytes."""
        return self._loop.run(self._complete(_Request("GET", self._url(path)), parsed_names))

    def post_json(self, path: str, body: Any, params: Mapping[str, str | int] | None = None) -> tuple[Answer, Any]:
        """The same for a POST that only reads, such as a search: it is repeated like a GET."""
        content = exact_json(body).encode()
        headers = {"Content-Type": "application/json"}
        request = _Request("POST", self._url(path, params), content=content, headers=headers)
        return self._loop.run(self._complete(request, parsed))

    def change(self, method: str, path: str, body: Any = None, *, repeatable: bool) -> tuple[Answer, Any]:
        """A request that changes something there: its answer (200, 201 or 204) and its JSON, None without a body.

        One that is not `repeatable` (asked twice, it would have its effect twice) is asked again only while it is
        certain that nothing has happened: no connection, 429. Otherwise OutcomeUnknown, for the caller to settle.
        """
        request = _Request(
            method,
            self._url(path),
            content=None if body is None else exact_json(body).encode(),
            headers={} if body is None else {"Content-Type": "application/json"},
            succeeds_with=_CHANGED,
            repeatable=repeatable,
        )
        return self._loop.run(
            self._complete(request, lambda answer: parsed(answer) if answer.length else (answer, None))
        )

    def download(
        self,
        path: str,
        *,
        accept: str,
        target: Path,
        types: tuple[str, ...] = (),
        limit: int = MAX_BODY_BYTES,
        in_memory: int = 0,
    ) -> Answer:
        """The body, streamed into `target`, which is written anew by every attempt; one of at most `in_memory` bytes
        comes in the answer instead.

        A media type other than `types` (where these are given) is a fault like a broken connection.
        """

        def of_type(answer: Answer) -> Answer:
            if types and answer.media_type not in types:
                raise Retriable(f"HTTP 200 with content type {answer.media_type or 'none'} instead of {accept}")
            return answer

        request = _Request("GET", self._url(path), accept=accept, target=target, limit=limit, in_memory=in_memory)
        try:
            return self._loop.run(self._complete(request, of_type))
        except OSError as error:
            raise StorageError(f"{target}: cannot be written: {error.strerror}") from None

    def _url(self, path: str, params: Mapping[str, str | int] | None = None) -> httpx.URL:
        return (
            httpx.URL(self._base_url + path, params=dict(params or {})) if params else httpx.URL(self._base_url + path)
        )

    async def _complete(self, request: _Request, read: Callable[[Answer], Result]) -> Result:
        """One request with all its attempts, within its deadline."""
        settings, last, undone = self._settings, "no answer yet", True
        async with self._slots:
            try:
                async with asyncio.timeout(settings.deadline_s):
                    for attempt in range(1, settings.attempts + 1):
                        try:
                            return await self._attempt(request, read)
                        except Retriable as fault:
                            last, undone = str(fault), fault.undone
                            if attempt == settings.attempts or not (request.repeatable or undone):
                                raise
                            await asyncio.sleep(self._wait_after(attempt, fault))
            except Retriable as fault:
                if not (request.repeatable or undone):
                    raise OutcomeUnknown(f"{request}: {fault}; {_NOT_KNOWN}") from None
                raise SourceUnreachable(
                    f"{request}: {fault} after {settings.attempts} attempts; check base_url and the operator's "
                    "status page, then run the period again"
                ) from None
            except TimeoutError:
                if not request.repeatable:
                    raise OutcomeUnknown(f"{request}: no answer by the deadline; {_NOT_KNOWN}") from None
                raise SourceUnreachable(
                    f"{request}: not answered whole at the deadline of {settings.deadline_s:g} s ({last}); run the "
                    "period again, or raise http.deadline_s"
                ) from None
        raise AssertionError("the last attempt returns or raises")

    def _wait_after(self, attempt: int, fault: Retriable) -> float:
        """Seconds before the next attempt: what the server asks for, else capped exponential backoff with jitter.

        What one request is told to wait, all wait: eight that go on would each use up their attempts.
        """
        if fault.wait_s is not None:
            self._resume_at = max(self._resume_at, time.monotonic() + fault.wait_s)
            return fault.wait_s
        backoff: float = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** (attempt - 1))
        return backoff * random.uniform(0.5, 1.5)

    async def _attempt(self, request: _Request, read: Callable[[Answer], Result]) -> Result:
        if (wait := self._resume_at - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        authorization = self._authorization
        headers = await authorization.headers(self._ask_token)
        try:
            answer = await self._send(request, headers)
        except Unauthorized as first:
            if not await authorization.renewed(headers, self._ask_token):
                raise self._not_known(request, first) from None
            try:
                answer = await self._send(request, await authorization.headers(self._ask_token))
            except Unauthorized as second:
                raise self._not_known(request, second) from None
        if answer.length > _PARSED_ASIDE_BYTES:
            return await asyncio.to_thread(read, answer)
        return read(answer)

    def _not_known(self, request: _Request, refusal: Unauthorized) -> Refused:
        names = self._authorization.secrets_in
        return Refused(f"{request}: HTTP 401{refusal.code}, the key in {names} is refused; put a valid one there", 401)

    async def _ask_token(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        """The JSON answer of a token endpoint; read here and dropped, never kept."""
        content = str(httpx.QueryParams(dict(form))).encode()
        given = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        request = _Request("POST", httpx.URL(url), content=content, headers=given, limit=64 * 1024)
        names = self._authorization.secrets_in
        try:
            _, document = parsed(await self._send(request, {}))
        except (Unauthorized, Refused) as refusal:
            status = refusal.status if isinstance(refusal, Refused) else 401
            raise Refused(
                f"{request}: HTTP {status}, no token is given for the credentials in {names}; put valid ones there, and "
                "check token_url",
                status,
            ) from None
        except Retriable as fault:
            raise Retriable(f"{request}: {fault}; check token_url", fault.wait_s) from None
        return document

    async def _send(self, request: _Request, headers: Mapping[str, str]) -> Answer:
        sent = {"Accept": request.accept, **request.headers, **headers}
        with _faults_as_retriable(request):
            stream = self._client().stream(request.method, request.url, headers=sent, content=request.content)
            async with AsyncExitStack() as stack:
                response = await self._headers_of(stream, stack)
                if response.status_code in request.succeeds_with:
                    body = await _read_body(response, request, self._settings.read_timeout_s)
                    kept = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
                    path = request.target if body.in_file else None
                    return Answer(request.method, str(request.url), kept, body.length, body.framed, body.content, path)
                code = await _refusal_code(response)
                self._refuse(response, request, code)
        raise AssertionError("_refuse always raises")

    async def _headers_of(
        self, stream: AbstractAsyncContextManager[httpx.Response], stack: AsyncExitStack
    ) -> httpx.Response:
        """The answer without its body. The client's own timeouts start anew with every byte, this one does not."""
        settings = self._settings
        try:
            async with asyncio.timeout(settings.connect_timeout_s + settings.read_timeout_s):
                return await stack.enter_async_context(stream)
        except TimeoutError:
            raise Retriable("no answer in time (headers)") from None

    def _client(self) -> httpx.AsyncClient:
        """Made on the loop it lives on."""
        if self._opened is None:
            settings = self._settings
            self._opened = httpx.AsyncClient(
                # A gzip stream that is cut short looks complete to the client, so none is asked for.
                headers={"Accept-Encoding": "identity", "User-Agent": "billing-pipeline"},
                timeout=httpx.Timeout(settings.read_timeout_s, connect=settings.connect_timeout_s),
                limits=httpx.Limits(
                    max_connections=settings.concurrency + 1, max_keepalive_connections=settings.concurrency + 1
                ),
                follow_redirects=False,
            )
        return self._opened

    def _refuse(self, response: httpx.Response, request: _Request, code: str) -> None:
        status = response.status_code
        if status in _RETRIED_STATUS or status >= 500:
            wait_s = asked_wait_s(response.headers.get("retry-after", ""))
            raise Retriable(f"HTTP {status}{code}", wait_s, undone=status == httpx.codes.TOO_MANY_REQUESTS)
        if status == 401:
            raise Unauthorized(code)
        if response.is_success:
            raise Retriable(f"HTTP {status}, which is no answer to this request")
        told = f"{request}: HTTP {status}{code}"
        if status == 403:
            names = self._authorization.secrets_in
            raise Refused(f"{told}, the key in {names} is refused; put a valid one there", status)
        if status == 404:
            raise NotFound(f"{told}, there is no such document", status)
        if response.is_redirect:
            raise Refused(f"{told} redirects elsewhere, which is not followed; correct base_url", status)
        raise Refused(f"{told}, the request is refused; check this API's settings in billing.yaml", status)


@contextmanager
def _faults_as_retriable(request: _Request) -> Iterator[None]:
    try:
        yield
    except (httpx.ConnectTimeout, httpx.PoolTimeout) as fault:
        raise Retriable(f"no connection in time ({type(fault).__name__})", undone=True) from None
    except httpx.TimeoutException as fault:
        raise Retriable(f"no answer in time ({type(fault).__name__})") from None
    except httpx.ConnectError:
        raise Retriable("connection refused or host not found", undone=True) from None
    except httpx.HTTPError as fault:
        raise Retriable(f"connection broke off ({type(fault).__name__})") from None
    except BodyUnusable as fault:
        raise Retriable(str(fault)) from None
    except BodyTooLarge as fault:
        raise SourceRefused(f"{request}: {fault}; it is not read") from None


async def _read_body(response: httpx.Response, request: _Request, window_s: float) -> Body:
    """The whole body, while at least _SLOWEST_BYTES of it arrive in each window: a drip outlives every other timeout."""
    since, before, received = time.monotonic(), 0, 0
    writer = BodyWriter(response.headers, target=request.target, limit=request.limit, in_memory=request.in_memory)
    with writer:
        async for piece in response.aiter_raw():
            writer.write(piece)
            received += len(piece)
            if (now := time.monotonic()) - since > window_s:
                if received - before < _SLOWEST_BYTES:
                    raise BodyUnusable(f"less than {_SLOWEST_BYTES} bytes arrived in {window_s:g} s")
                since, before = now, received
        return writer.finish()


async def _refusal_code(response: httpx.Response) -> str:
    """The operator's code for a refusal, with a comma before it; its other words may hold anything and are not repeated."""
    read = b""
    async for piece in response.aiter_raw():
        read += piece
        if len(read) > _REFUSAL_BYTES:
            return ""
    code = code_in(read)
    return f", code {code}" if code else ""
