"""The customer invoicing API: drafts, lines, timeline, finalize, download, credit notes. Its memory is elsewhere.

Routes, names and shapes follow the published OpenAPI 1.90.0; errors are `{"type", "code", "message", "param"}`. Where
it is silent: what a document's state forbids is a 409, a body that is not right a 400 with the parameter's path, and
every customer id is known. Required members of a document that this counterpart has nothing to say about are empty.
"""

import hmac
import json
import re
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from billing_pipeline.exact_json import exact_json
from billing_pipeline.sandbox import customer_bodies as bodies
from billing_pipeline.sandbox.customer_documents import (
    CustomerDocuments,
    Document,
    Forbidden,
    due_at,
    line_amounts,
    total_of,
)  # fmt: skip
from billing_pipeline.sandbox.small_pdf import one_page_pdf

BASE = "/v2/billing"
_CUSTOMER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_ADDRESS = {"line1": "1, rue du Test", "city": "Bordeaux", "zipCode": "33000", "country": "FR"}
_SHOWN = (
    "displayFullName", "displayEmail", "displayPhoneNumber", "displaySAPAgreement", "displayLegalStatus",
    "displayRequiredMentionsProduct", "displayMemberOfAnApprovedAssociation", "displayAbbyLogo", "displayTitle",
)  # fmt: skip
_TITLES = {
    "fr": ("Facture", "Avoir"), "en": ("Invoice", "Credit note"), "de": ("Rechnung", "Gutschrift"),
    "it": ("Fattura", "Nota di credito"), "nl": ("Factuur", "Creditnota"), "pt": ("Fatura", "Nota de crédito"),
    "es": ("Factura", "Nota de crédito"),
}  # fmt: skip
Answer = Callable[[Request, Any], Response]


class _Refusal(Exception):
    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        self.response = invoicing_error(status, code, message, param)


def invoicing_error(status: int, code: str, message: str, param: str | None = None) -> Response:
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    content: dict[str, Any] = {"type": kind, "code": code, "message": message, "param": param}
    return Response(exact_json(content), status, media_type="application/json")


def invoicing_routes(api_key: str, *, clock: Callable[[], float] = time.time) -> tuple[list[Route], CustomerDocuments]:
    """The routes, each behind `Authorization: Bearer <api_key>`, and the documents they work on."""
    documents = CustomerDocuments(clock)
    api = _Api(documents)

    def guarded(answer: Answer, check: bodies.Check | None = None) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                _authenticate(request, api_key)
                return answer(request, _body(await request.body(), check) if check else None)
            except _Refusal as refusal:
                return refusal.response
            except bodies.BadBody as fault:
                return invoicing_error(400, fault.code, str(fault), fault.param)
            except Forbidden as fault:
                return invoicing_error(409, fault.code, str(fault))

        return endpoint

    def route(path: str, method: str, answer: Answer, check: bodies.Check | None = None) -> Route:
        return Route(BASE + path, guarded(answer, check), methods=[method])

    return [
        route("/invoice/{id}", "POST", api.create),
        route("/invoice/{id}", "GET", api.read("invoice")),
        route("/asset/{id}", "GET", api.read("asset")),
        route("/invoice/{id}/general-informations", "PATCH", api.inform, bodies.GENERAL_INFORMATIONS),
        route("/invoice/{id}/timeline", "PATCH", api.date, bodies.TIMELINE),
        route("/invoice/{id}/locale", "PUT", api.set_locale, bodies.LOCALE),
        route("/invoice/{id}/currency", "PUT", api.set_currency, bodies.CURRENCY),
        route("/invoice/{id}/asset", "POST", api.credit),
        route("/{id}/lines", "PATCH", api.put_lines, bodies.LINES),
        route("/{id}/title", "PATCH", api.entitle, bodies.TITLE),
        route("/{id}/finalize", "PATCH", api.finalize),
        route("/{id}/download", "GET", api.download),
        route("/{id}", "GET", api.read()),
        route("/{id}", "DELETE", api.delete),
    ], documents


def _authenticate(request: Request, api_key: str) -> None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    known = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), api_key.encode())
    if scheme.lower() != "bearer" or not known:
        raise _Refusal(401, "unauthorized", "Send the API key as 'Authorization: Bearer <key>'")


def _body(content: bytes, check: bodies.Check) -> Any:
    try:
        body = json.loads(content, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise _Refusal(400, "invalid_json", "The body is not JSON") from None
    check(body, "")
    return body


class _Api:
    """What is answered once the caller is known and the body is right."""

    def __init__(self, documents: CustomerDocuments) -> None:
        self._documents = documents

    def _found(self, request: Request, kind: str | None = None) -> Document:
        identifier = request.path_params["id"]
        document = self._documents.by_id.get(identifier)
        if document is None or kind not in (None, document.kind):
            raise _Refusal(404, "not_found", f"There is no {kind or 'billing document'} {identifier!r}", "id")
        return document

    def _answer(self, document: Document, status: int = 200) -> Response:
        content = _described(document, self._documents.requirements(document))
        return Response(exact_json(content), status, media_type="application/json")

    def create(self, request: Request, body: Any) -> Response:
        customer_id = request.path_params["id"]
        if not _CUSTOMER.fullmatch(customer_id):
            raise _Refusal(400, "invalid_parameter", f"customerId: {customer_id!r} is no id", "customerId")
        return self._answer(self._documents.create(customer_id), 201)

    def read(self, kind: str | None = None) -> Answer:
        return lambda request, body: self._answer(self._found(request, kind))

    def inform(self, request: Request, body: Any) -> Response:
        document = self._found(request, "invoice")
        return self._answer(self._documents.change(document, informations={**document.informations, **body}))

    def date(self, request: Request, body: Any) -> Response:
        document = self._found(request, "invoice")
        if body["paymentDelay"] == "other" and "customDueDate" not in body:
            raise bodies.BadBody("customDueDate", "is required where paymentDelay is other", "missing_parameter")
        return self._answer(
            self._documents.change(
                document,
                emitted_at=body["emittedAt"],
                payment_delay=body["paymentDelay"],
                custom_due_date=body.get("customDueDate"),
                delivery_date=body.get("deliveryDate", document.delivery_date),
            )
        )

    def set_locale(self, request: Request, body: Any) -> Response:
        return self._answer(self._documents.change(self._found(request, "invoice"), locale=body["locale"]))

    def set_currency(self, request: Request, body: Any) -> Response:
        return self._answer(self._documents.change(self._found(request, "invoice"), currency=body["currency"]))

    def entitle(self, request: Request, body: Any) -> Response:
        return self._answer(self._documents.change(self._found(request), title=body["title"]))

    def put_lines(self, request: Request, body: Any) -> Response:
        """The lines sent take the place of those there were."""
        return self._answer(self._documents.change(self._found(request), lines=body["lines"]))

    def finalize(self, request: Request, body: Any) -> Response:
        return self._answer(self._documents.finalize(self._found(request)))

    def credit(self, request: Request, body: Any) -> Response:
        return self._answer(self._documents.credit(self._found(request, "invoice")))

    def delete(self, request: Request, body: Any) -> Response:
        self._documents.delete(self._found(request))
        return Response(status_code=204)

    def download(self, request: Request, body: Any) -> Response:
        document = self._found(request)
        locale = request.query_params.get("locale", document.locale)
        if locale not in _TITLES:
            raise bodies.BadBody("locale", f"must be one of {', '.join(_TITLES)}")
        return Response(_pdf(document, locale), media_type="application/pdf")


def _pdf(document: Document, locale: str) -> bytes:
    total = total_of(document)
    lines = (f"{line['designation']}  {_money(line_amounts(line)['priceTotalTax'])}" for line in document.lines)
    return one_page_pdf(
        (
            f"{_TITLES[locale][document.kind == 'asset']} {document.number or '-'}",
            f"{document.customer_id}",
            *lines,
            f"HT {_money(total['amountWithoutTaxAfterDiscount'])} {document.currency}",
            f"TTC {_money(total['amountWithTaxAfterDiscount'])} {document.currency}",
        )
    )


def _money(cents: int) -> str:
    return f"{Decimal(cents).scaleb(-2):.2f}"


def _described(document: Document, requirements: list[dict[str, str]]) -> dict[str, Any]:
    """The document as ReadInvoiceDto or ReadAssetDto has it."""
    draft = document.state == "draft"
    content: dict[str, Any] = {
        "id": document.identifier,
        "type": document.kind,
        "state": document.state,
        "customer": {
            "id": document.customer_id, "legacyId": document.customer_id, "billingAddress": _ADDRESS,
            "deliveryAddressIsSame": True, "token": document.customer_id, "test": True,
        },
        "locale": document.locale,
        "emittedAt": document.emitted_at,
        "locked": not draft,
        "finalizable": draft and not requirements,
        "test": True,
        "isEditable": draft,
        "isDeletable": draft,
        "currencyCode": document.currency,
        "currency": {
            "currencyCode": document.currency, "currencyDate": document.created_at, "currencyRate": 1, "origin": "ECB",
        },
        "attachments": [],
        "finalizeRequirements": requirements if draft else [],
        "emitter": {"name": "NÉO RÉSEAUX", "hasVat": True},
        "billingLegals": {"vatMention": "not_subject", "paymentMethods": ["transfer"], **_legals(document)},
        "createdAt": document.created_at,
        "updatedAt": document.updated_at,
        "compatibilityVersion": "V2",
        "displayDeliveryAddress": False,
        "paymentDelay": document.payment_delay,
        "dueAt": due_at(document),
        "lines": [_line(line) for line in document.lines],
        "total": total_of(document),
        "displaySettings": dict.fromkeys(_SHOWN, False),
        "includeDiscountDisbursement": False,
    }  # fmt: skip
    if document.kind == "invoice":
        online = document.informations.get("isOnlinePaymentActivated", False)
        content |= {"isReminderActivated": False, "isOnlinePaymentActivated": online}
        content |= {"isFinalInvoice": False, "hasAssociatedTransaction": False}
    optional = {
        "number": document.number, "title": document.title, "finalizedAt": document.finalized_at,
        "deliveryDate": document.delivery_date,
    }  # fmt: skip
    return content | {name: value for name, value in optional.items() if value is not None}


def _legals(document: Document) -> dict[str, Any]:
    return {name: value for name, value in document.informations.items() if name in _LEGALS}


_LEGALS = frozenset(
    {
        "headerNote", "footerNote", "generalTermsAndConditionsOfSale", "mentionMediator", "vatMention",
        "paymentMethods", "otherPaymentMethod",
    }
)  # fmt: skip


def _line(line: dict[str, Any]) -> dict[str, Any]:
    absent = {"isDeliveryOfGoods": False, "isTaxIncluded": False, "discount": {"mode": "AMOUNT", "amount": 0}}
    stated = {name: value for name, value in line.items() if value is not None}
    return {**absent, **stated, **line_amounts(line)}
