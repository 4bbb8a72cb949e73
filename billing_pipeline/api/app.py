"""The API as one application: its routes, its OpenAPI document, and an answer in JSON for whatever goes wrong.

What is answered stands in invoices.py and reconciliation.py, who may ask in gate.py and access.py.
"""

import logging
from collections.abc import Collection
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from billing_pipeline.api import invoices, reconciliation
from billing_pipeline.api.access import Access
from billing_pipeline.api.answers import Refusal, json_response
from billing_pipeline.api.docs_page import docs_page
from billing_pipeline.api.gate import DEFECT, Gate
from billing_pipeline.api.parameters import (
    DEFAULT_PER_PAGE,
    InvoiceId,
    OperatorCode,
    OptionalPage,
    OptionalPeriod,
    OptionalPerPage,
    Page,
    PerPage,
    RequiredPeriod,
    Status,
    refusal,
    refuse_others,
)
from billing_pipeline.api.schema import SCHEMAS, responses
from billing_pipeline.errors import StorageError, one_line
from billing_pipeline.exact_json import exact_json
from billing_pipeline.storage.reading import ReadPool

TITLE = "billing_pipeline"
ABOUT = (
    "What the operators billed, and what of it is right. Read-only. Amounts are JSON numbers with at least two decimals,"
    " exact when read as decimals; lists are ordered by period, operator and invoice, items by operator and item."
)
_AWAY = "the results cannot be read at the moment; ask again in a few seconds"
_log = logging.getLogger(__name__)


def create_app(
    pool: ReadPool, operators: Collection[str], access: Access, *, hosts: Collection[str] | None = None
) -> Gate:
    """Serves what `pool` reads. `operators` are the configured codes; requests for other hosts than `hosts` are refused."""
    app = FastAPI(
        title=TITLE, description=ABOUT, version=version("billing-pipeline"), docs_url=None, redoc_url=None,
        openapi_url=None, redirect_slashes=False,
        exception_handlers={
            RequestValidationError: _refuse_parameter, Refusal: _refuse, StorageError: _away, HTTPException: _refuse_place,
            Exception: _admit_defect,
        },
    )  # fmt: skip
    _add_routes(app, pool, operators)
    document = _document(app, asks_for_key=access.asks)
    _add_documentation(app, document)
    return Gate(app, access, open_paths=("/docs", "/openapi.json"), hosts=hosts)


def _add_routes(app: FastAPI, pool: ReadPool, operators: Collection[str]) -> None:
    @app.get(
        "/v1/billing/invoices", summary="List invoices", responses=responses("InvoiceList"), response_class=Response
    )
    async def list_invoices(
        request: Request,
        period: OptionalPeriod = None,
        operator_code: OperatorCode = None,
        page: Page = 1,
        per_page: PerPage = DEFAULT_PER_PAGE,
    ) -> Response:
        """Invoices and credit notes, by period, operator and number."""
        refuse_others(request, "period", "operatorCode", "page", "perPage")
        return await invoices.list_invoices(
            pool, operators, period=period, code=operator_code, page=page, per_page=per_page
        )

    @app.get(
        "/v1/billing/invoices/{invoiceId:path}",
        summary="Read an invoice",
        responses=responses(
            "InvoiceDetail", e409="Several operators have an invoice of that number; send operatorCode."
        ),
        response_class=Response,
    )
    async def read_invoice(
        request: Request,
        invoiceId: InvoiceId,  # noqa: N803 - the hub's name
        operator_code: OperatorCode = None,
    ) -> Response:
        """One invoice with all its lines, in the order of its document."""
        refuse_others(request, "operatorCode")
        return await invoices.read_invoice(pool, operators, invoiceId, operator_code)

    @app.get(
        "/v1/billing/reconciliation",
        summary="Reconcile services and invoices",
        responses=responses("Reconciliation"),
        response_class=Response,
    )
    async def reconcile(
        request: Request,
        period: RequiredPeriod,
        operator_code: OperatorCode = None,
        status: Status = None,
        page: OptionalPage = None,
        per_page: OptionalPerPage = None,
    ) -> Response:
        """The month's summary and its items: all of them as a stream, or a page where page or perPage is given.

        Without operatorCode the summary is that of all operators, null while one of them is not evaluated.
        """
        refuse_others(request, "period", "operatorCode", "status", "page", "perPage")
        question = reconciliation.Question(period, operator_code, status)
        if page is None and per_page is None:
            return await reconciliation.read_all(pool, operators, question)
        return await reconciliation.read_page(
            pool, operators, question, page=page or 1, per_page=per_page or DEFAULT_PER_PAGE
        )


def _document(app: FastAPI, *, asks_for_key: bool) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    document.setdefault("components", {})["schemas"] = SCHEMAS
    if asks_for_key:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    return document


def _add_documentation(app: FastAPI, document: dict[str, Any]) -> None:
    text, page = exact_json(document, indented=True), docs_page(document)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return json_response(text)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"})


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response()


async def _refuse_parameter(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return refusal(error.errors()).response()


async def _refuse_place(request: Request, error: Exception) -> Response:
    """No such path or method."""
    assert isinstance(error, HTTPException)
    place = one_line(request.url.path)
    if error.status_code == 405:
        message = f"{place} is read with GET; this API changes nothing"
        return Refusal(405, "method_not_allowed", message, headers=error.headers).response()
    return Refusal(error.status_code, "not_found", f"nothing at {place}; see /docs").response()


async def _away(_: Request, error: Exception) -> Response:
    _log.warning("%s", error)
    return Refusal(503, "unavailable", _AWAY, headers={"Retry-After": "2"}).response()


async def _admit_defect(_: Request, __: Exception) -> Response:
    """The error itself goes on to the gate, which logs it."""
    return Refusal(500, "internal_error", DEFECT).response()
