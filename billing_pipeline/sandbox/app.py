"""The sandbox as one ASGI application. An API is a list of routes added here; what it answers stands in its module."""

import time
from collections.abc import Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from billing_pipeline.exact_json import exact_json
from billing_pipeline.sandbox import customer_invoicing, orange
from billing_pipeline.sandbox.access import DEMO_SECRETS, INVOICING_KEY
from billing_pipeline.sandbox.fault_injection import FaultInjector
from billing_pipeline.sandbox.faults import FaultRule, fault_rules
from billing_pipeline.sandbox.netwo import netwo_routes
from billing_pipeline.sandbox.orange_documents import MAX_DOWNLOAD_BYTES
from billing_pipeline.sandbox.orange_tokens import DEFAULT_LIFETIME_S, DEFAULT_PER_MINUTE, Tokens
from billing_pipeline.sandbox.reseller import Reseller


class _RequestLog:
    """Keeps (method, path?query) of every request in `app.state.requests`, refused ones included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            query = scope["query_string"].decode("latin-1")
            target = f"{scope['path']}?{query}" if query else scope["path"]
            scope["app"].state.requests.append((scope["method"], target))
        await self._app(scope, receive, send)


def create_app(
    reseller: Reseller,
    *,
    api_key: str,
    secrets: Mapping[str, str] = DEMO_SECRETS,
    faults: Sequence[str | FaultRule] = (),
    fault_seed: int = 0,
    token_lifetime_s: float = DEFAULT_LIFETIME_S,
    tokens_per_minute: int = DEFAULT_PER_MINUTE,
    expires_in_text: bool | None = None,
    max_download_bytes: int = MAX_DOWNLOAD_BYTES,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """Serves the hub on `/v1/billing`, Orange on `/billing/b2b/v1`, customer invoicing on `/v2/billing`.

    `api_key` is the hub's Bearer key, an empty one is a ValueError; `secrets` holds the others (access.py).
    `faults` are rules or their written form (faults.py); a wrong one is a UsageError. `expires_in` of a token is a text
    or a number as `expires_in_text` says, both in turn for None; Orange serves no file larger than `max_download_bytes`.
    `clock` gives customer invoicing its Unix seconds.

    In `app.state`: `requests`, those received, oldest first (clear it to count from here); `faults`, (name, path) of
    those that happened; `orange_tokens`, the access tokens; `invoicing`, the customer documents.
    """
    if not api_key:
        raise ValueError("the sandbox needs a key to ask for")
    tokens = Tokens(lifetime_s=token_lifetime_s, per_minute=tokens_per_minute)
    invoicing_routes, documents = customer_invoicing.invoicing_routes(secrets[INVOICING_KEY], clock=clock)
    app = Starlette(
        routes=[
            *netwo_routes(reseller, api_key),
            *orange.orange_routes(
                reseller, secrets, tokens, expires_in_text=expires_in_text, max_download_bytes=max_download_bytes
            ),
            *invoicing_routes,
        ],
        middleware=[Middleware(_RequestLog), Middleware(FaultInjector, fault_rules(faults), fault_seed)],
        exception_handlers={404: _refused_in_json, 405: _refused_in_json},
    )
    app.router.redirect_slashes = False  # none of the three APIs answers a stray slash with a redirect
    app.state.requests = []
    app.state.faults = []
    app.state.orange_tokens = tokens
    app.state.invoicing = documents
    return app


async def _refused_in_json(request: Request, error: Exception) -> Response:
    """No such path or method, in the words of the API whose path it is."""
    status = getattr(error, "status_code", 404)
    message = f"nothing at {request.url.path}"
    if request.url.path.startswith((orange.BASE, orange.TOKEN_PATH)):
        code, name = (60, "Resource not found") if status == 404 else (61, "Method not allowed")
        return orange.refused(status, code, name, message, getattr(error, "headers", None))
    name = "not_found" if status == 404 else "method_not_allowed"
    if request.url.path.startswith(customer_invoicing.BASE):
        return customer_invoicing.invoicing_error(status, name, message)
    content = exact_json({"error": name, "message": message})
    return Response(content, status, getattr(error, "headers", None), media_type="application/json")
