"""The Orange billing API over the generated reseller: token, collections, search, downloads, counters, status.

Paths, headers, parameters and operators are those of the published guide. Where it is silent: `limit` is 10 unless
given and 1000 at most; `Bearer` is asked for; search looks at bills unless `collection` names another; a file over
5 MB is a 413 with code 65; `/snapshots` returns every counter unless `limit` is given. Other codes: 21 unreadable
body, 24 header missing, 28 parameter refused, 40 credentials missing, 41 wrong, 42 token expired, 53 too many
requests, 60 not found, 61 method not allowed, 66 representation not offered.
"""

import base64
import binascii
import hmac
import json
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from billing_pipeline.exact_json import exact_json
from billing_pipeline.sandbox.access import ORANGE_ID, ORANGE_KEY, ORANGE_SECRET
from billing_pipeline.sandbox.orange_documents import (
    ACCOUNT_FIELDS,
    BILL_FIELDS,
    MAX_DOWNLOAD_BYTES,
    REPORT_FIELDS,
    OrangeDocuments,
)  # fmt: skip
from billing_pipeline.sandbox.orange_query import BadQuery, Document, compiled, counters, filtered, known, ordered
from billing_pipeline.sandbox.orange_tokens import Tokens
from billing_pipeline.sandbox.reseller import Reseller

BASE = "/billing/b2b/v1"
TOKEN_PATH = "/oauth/v3/token"
DEFAULT_LIMIT, MAX_LIMIT = 10, 1000
_FIELDS = {"bills": BILL_FIELDS, "billingAccounts": ACCOUNT_FIELDS, "reports": REPORT_FIELDS}
_PAGING = ("offset", "limit", "sort")
JSON, CSV, PDF = "application/json", "text/csv", "application/pdf"


class Refusal(Exception):
    """An answer that is an error of the API."""

    def __init__(
        self, status: int, code: int, message: str, description: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.response = refused(status, code, message, description, headers)


def refused(
    status: int, code: int, message: str, description: str, headers: Mapping[str, str] | None = None
) -> Response:
    """`{"code", "message", "description"}`, as every error of this API."""
    content: dict[str, Any] = {"code": code, "message": message, "description": description}
    return Response(exact_json(content), status, headers, media_type=JSON)


def too_large() -> Response:
    return refused(413, 65, "File too large", "Files larger than 5 MB are not served; ask Orange for this one")


def orange_routes(
    reseller: Reseller,
    secrets: Mapping[str, str],
    tokens: Tokens,
    *,
    expires_in_text: bool | None = None,
    max_download_bytes: int = MAX_DOWNLOAD_BYTES,
) -> list[Route]:
    """All routes. `secrets` holds the client's id, secret and API key; `expires_in_text` None alternates both forms."""
    api = _Api(OrangeDocuments(reseller), max_download_bytes)

    def guarded(answer: Callable[[Request, bytes], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                _authenticate(request, secrets[ORANGE_KEY], tokens)
                return await run_in_threadpool(answer, request, await request.body())
            except Refusal as refusal:
                return refusal.response
            except BadQuery as fault:
                return refused(400, 28, "Invalid parameter value", str(fault))

        return endpoint

    async def token(request: Request) -> Response:
        try:
            return _token(request, await request.body(), secrets, tokens, expires_in_text)
        except Refusal as refusal:
            return refusal.response

    return [
        Route(TOKEN_PATH, token, methods=["POST"]),
        *(Route(f"{BASE}/{name}", guarded(api.listing(name)), methods=["GET"]) for name in _FIELDS),
        Route(f"{BASE}/bills/{{id:path}}", guarded(api.bill), methods=["GET"]),
        Route(f"{BASE}/billingAccounts/{{id:path}}", guarded(api.account), methods=["GET"]),
        Route(f"{BASE}/reports/{{id:path}}", guarded(api.report), methods=["GET"]),
        Route(f"{BASE}/search", guarded(api.search), methods=["POST"]),
        Route(f"{BASE}/snapshots", guarded(api.snapshots), methods=["GET"]),
        Route(f"{BASE}/status", guarded(lambda *_: _json({"status": "UP"})), methods=["GET"]),
    ]


def _token(
    request: Request, body: bytes, secrets: Mapping[str, str], tokens: Tokens, expires_in_text: bool | None
) -> Response:
    if wait := tokens.wait_s():
        seconds = {"Retry-After": str(math.ceil(wait))}
        raise Refusal(
            429, 53, "Too many requests", f"{tokens.per_minute} token requests a minute are answered", seconds
        )
    given = _basic(request.headers.get("authorization", ""))
    if given is None:
        raise Refusal(
            401, 40, "Missing credentials", "Send client_id and client_secret in a Basic authorization header"
        )
    if not (_same(given[0], secrets[ORANGE_ID]) & _same(given[1], secrets[ORANGE_SECRET])):
        raise Refusal(401, 41, "Invalid credentials", "The client_id or the client_secret is wrong")
    try:
        grant = parse_qs(body.decode("ascii")).get("grant_type", [])
    except UnicodeDecodeError:
        grant = []
    if grant != ["client_credentials"]:
        raise Refusal(400, 21, "Invalid body", "The form field grant_type must be client_credentials")
    issued = tokens.issue()
    as_text = len(tokens.issued) % 2 == 1 if expires_in_text is None else expires_in_text
    lifetime = max(1, round(tokens.lifetime_s))
    content = {
        "token_type": "Bearer", "access_token": issued, "expires_in": str(lifetime) if as_text else lifetime,
    }  # fmt: skip
    return Response(exact_json(content), headers={"Cache-Control": "no-store"}, media_type=JSON)


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode("utf-8"))


def _authenticate(request: Request, api_key: str, tokens: Tokens) -> None:
    key = request.headers.get("x-api-key")
    if key is None:
        raise Refusal(401, 24, "Missing header", "Send the API key in the header X-Api-Key")
    if not _same(key, api_key):
        raise Refusal(401, 41, "Invalid credentials", "The API key in X-Api-Key is not known")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refusal(401, 40, "Missing credentials", "Send 'Authorization: Bearer <access token>'")
    state = tokens.state(token.strip())
    if state == "expired":
        raise Refusal(401, 42, "Expired credentials", "The requested service needs credentials, and they are expired")
    if state == "unknown":
        raise Refusal(401, 41, "Invalid credentials", "The access token is not known or was revoked")


def _json(content: Any, headers: Mapping[str, str] | None = None) -> Response:
    return Response(exact_json(content), 200, headers, media_type="application/json; charset=UTF-8")


class _Api:
    """What is answered once the caller is known."""

    def __init__(self, documents: OrangeDocuments, max_download_bytes: int) -> None:
        self._documents = documents
        self._max_download_bytes = max_download_bytes

    def _collection(self, name: str) -> list[Document]:
        documents = self._documents
        if name == "reports":
            return list(documents.reports())
        return list((documents.bills if name == "bills" else documents.accounts).values())

    def listing(self, name: str) -> Callable[[Request, bytes], Response]:
        def answer(request: Request, body: bytes) -> Response:
            return _page(request, _chosen(request, self._collection(name), _FIELDS[name], _PAGING), _FIELDS[name])

        return answer

    def search(self, request: Request, body: bytes) -> Response:
        name = self._named(request)
        try:
            expression = json.loads(body, parse_float=Decimal)
        except (ValueError, RecursionError):
            raise Refusal(400, 21, "Invalid body", "The body is not a JSON query") from None
        test = compiled(expression, _FIELDS[name])
        for parameter in request.query_params:
            if parameter not in (*_PAGING, "collection"):
                raise BadQuery(f"a search takes no parameter {parameter!r}; write it into the query")
        return _page(request, [one for one in self._collection(name) if test(one)], _FIELDS[name])

    def snapshots(self, request: Request, body: bytes) -> Response:
        name = self._named(request)
        field = known(request.query_params.get("groupBy", ""), _FIELDS[name])
        others = (*_PAGING, "groupBy", "collection")
        documents = _chosen(request, self._collection(name), _FIELDS[name], others)
        groups = counters(documents, field, request.query_params.get("sort", "key"))
        offset, limit = _window(request, len(groups))
        shown = groups[offset : offset + limit]
        return _json(dict(shown), {"X-Total-Count": str(len(groups)), "X-Result-Count": str(len(shown))})

    def bill(self, request: Request, body: bytes) -> Response:
        identifier = request.path_params["id"]
        found = self._documents.bills.get(identifier)
        if _wanted(request, found, (JSON, PDF)) == PDF:
            return self._file(self._documents.bill_file(identifier), PDF)
        return _json(found)

    def account(self, request: Request, body: bytes) -> Response:
        found = self._documents.accounts.get(request.path_params["id"])
        _wanted(request, found, (JSON,))
        return _json(found)

    def report(self, request: Request, body: bytes) -> Response:
        identifier = request.path_params["id"]
        found = self._documents.report(identifier)
        if _wanted(request, found, (JSON, CSV)) == CSV:
            return self._file(self._documents.report_file(identifier), CSV)
        return _json(found)

    def _file(self, content: bytes, media_type: str) -> Response:
        if len(content) > self._max_download_bytes:
            return too_large()
        # Set here so that no charset is added: the bytes are in the operator's encoding, whatever that is.
        return Response(content, headers={"Content-Type": media_type})

    def _named(self, request: Request) -> str:
        name = request.query_params.get("collection", "bills")
        if name not in _FIELDS:
            raise BadQuery(f"collection {name!r} is none of {', '.join(_FIELDS)}")
        return name


def _chosen(
    request: Request, documents: Iterable[Document], fields: Iterable[str], others: tuple[str, ...]
) -> list[Document]:
    """The documents that pass every query parameter that is a filter."""
    filters = [
        (known(name, {*fields}), text) for name, text in request.query_params.multi_items() if name not in others
    ]
    return filtered(documents, filters)


def _page(request: Request, documents: list[Document], fields: frozenset[str]) -> Response:
    sort = request.query_params.get("sort")
    if sort is not None:
        documents = ordered(documents, sort, fields)
    offset, limit = _window(request, DEFAULT_LIMIT)
    shown: list[Any] = documents[offset : offset + limit]
    return _json(shown, {"X-Total-Count": str(len(documents)), "X-Result-Count": str(len(shown))})


def _window(request: Request, default_limit: int) -> tuple[int, int]:
    return _number(request, "offset", 0, 0, 999_999_999), _number(request, "limit", default_limit, 1, MAX_LIMIT)


def _number(request: Request, name: str, default: int, lowest: int, highest: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and lowest <= int(text) <= highest):
        raise BadQuery(f"{name}: {text!r} is not a whole number from {lowest} to {highest}")
    return int(text)


def _wanted(request: Request, found: Document | None, offered: tuple[str, ...]) -> str:
    """The media type to answer with: the client's most preferred of those offered, the first without a preference."""
    if found is None:
        raise Refusal(404, 60, "Resource not found", f"There is no {request.url.path.removeprefix(BASE)}")
    best, weight = offered[0], 0.0
    header = request.headers.get("accept") or "*/*"
    for part in header.split(","):
        pattern, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = _quality(parameters)
        for media_type in offered:
            fits = pattern in (media_type, "*/*", media_type.partition("/")[0] + "/*")
            if fits and quality > weight:
                best, weight = media_type, quality
    if not weight:
        raise Refusal(406, 66, "Not acceptable", f"Accept must allow one of {', '.join(offered)}")
    return best


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter.removeprefix("q="))
            except ValueError:
                return 0.0
    return 1.0
