"""The sandbox as one ASGI application. An API is a list of routes added here; what it answers stands in its module."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from billing_pipeline.exact_json import exact_json
from billing_pipeline.sandbox.netwo import netwo_routes
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


def create_app(reseller: Reseller, *, api_key: str) -> Starlette:
    """Serves the hub's API on `/v1/billing`. `api_key` is the Bearer key it asks for; an empty one is a ValueError.

    `app.state.requests` lists the requests received, oldest first; clear it to count from here.
    """
    if not api_key:
        raise ValueError("the sandbox needs a key to ask for")
    app = Starlette(
        routes=netwo_routes(reseller, api_key),
        middleware=[Middleware(_RequestLog)],
        exception_handlers={404: _refused_in_json, 405: _refused_in_json},
    )
    app.state.requests = []
    return app


async def _refused_in_json(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    words = {
        "error": "not_found" if status == 404 else "method_not_allowed",
        "message": f"nothing at {request.url.path}",
    }
    return Response(exact_json({**words}), status, getattr(error, "headers", None), media_type="application/json")
