"""The billing hub's API over the generated reseller: list, detail, and the hub's own simple reconciliation.

Shapes, parameter names and defaults are those of the hub's published guide. Where that is silent: errors are
`{"error", "message"}` with `param` on a 400, a page past the last one is empty, and `perPage` goes up to 200.
"""

import hmac
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from billing_pipeline.config import ChargeType
from billing_pipeline.exact_json import exact_json
from billing_pipeline.money import french_amount
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.contract_price import expected_amount
from billing_pipeline.sandbox.invoicing import Invoice, line_reference
from billing_pipeline.sandbox.operators import SandboxOperator
from billing_pipeline.sandbox.reseller import Reseller

DEFAULT_PER_PAGE = 50
MAX_PER_PAGE = 200
STATUSES = ("MATCHED", "UNMATCHED", "DISCREPANCY")
_NOT_BILLED = "Service actif sans ligne de facturation correspondante"


class _Refusal(Exception):
    """An answer that is an error; `content` is its JSON."""

    def __init__(self, status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self.response = _json(content, status, headers)


def netwo_routes(reseller: Reseller, api_key: str) -> list[Route]:
    """The three routes, each behind `Authorization: Bearer <api_key>`."""
    hub = _Hub(reseller)

    def guarded(answer: Callable[[Request], Any]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                _authenticate(request, api_key)
                return _json(answer(request))
            except _Refusal as refusal:
                return refusal.response

        return endpoint

    return [
        Route("/v1/billing/invoices", guarded(hub.list_invoices), methods=["GET"]),
        Route("/v1/billing/invoices/{invoice_id}", guarded(hub.read_invoice), methods=["GET"]),
        Route("/v1/billing/reconciliation", guarded(hub.reconcile), methods=["GET"]),
    ]


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(exact_json(content), status, headers, media_type="application/json")


def _authenticate(request: Request, api_key: str) -> None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), api_key.encode()):
        message = "Send the API key as 'Authorization: Bearer <key>'"
        raise _Refusal(401, {"error": "unauthorized", "message": message}, {"WWW-Authenticate": "Bearer"})


def _invalid(parameter: str, message: str) -> _Refusal:
    return _Refusal(400, {"error": "invalid_parameter", "param": parameter, "message": f"{parameter}: {message}"})


def _period(request: Request, *, required: bool = False) -> Period | None:
    text = request.query_params.get("period")
    if text is None and not required:
        return None
    try:
        return Period.parse(text or "")
    except ValueError as error:
        raise _invalid("period", str(error) if text else "is required; write YYYY-MM, for example 2024-03") from None


def _whole_number(request: Request, parameter: str, default: int, highest: int) -> int:
    text = request.query_params.get(parameter)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= highest):
        raise _invalid(parameter, f"{text!r} is not a whole number from 1 to {highest}")
    return int(text)


class _Hub:
    """What the hub knows: the operators it collects for the reseller, and their invoices."""

    def __init__(self, reseller: Reseller) -> None:
        self._reseller = reseller
        self._operators = tuple(operator for operator in reseller.operators if operator.source == "netwo")
        self._invoices = {
            invoice.invoice_id: invoice
            for period in reseller.periods
            for operator in self._operators
            for invoice in reseller.invoices[operator.code, period]
        }
        self._items = {
            (operator.code, period): list(_compare(reseller, operator, period))
            for operator in self._operators
            for period in reseller.periods
        }

        self._discrepancies = {
            key: {item["serviceId"] for item in items if item["status"] == "DISCREPANCY"}
            for key, items in self._items.items()
        }
        self._status = {invoice.invoice_id: self._worst(invoice) for invoice in self._invoices.values()}

    def _worst(self, invoice: Invoice) -> str:
        """DISCREPANCY where the hub sees one on a service of the invoice; lines of no service do not count for it."""
        wrong = self._discrepancies[invoice.operator.code, invoice.period]
        return "MATCHED" if wrong.isdisjoint(charge.service_id for charge in invoice.charges) else "DISCREPANCY"

    def list_invoices(self, request: Request) -> Any:
        period, codes = _period(request), self._codes(request)
        page = _whole_number(request, "page", 1, 999_999_999)
        per_page = _whole_number(request, "perPage", DEFAULT_PER_PAGE, MAX_PER_PAGE)
        chosen = [
            invoice
            for invoice in self._invoices.values()
            if invoice.operator.code in codes and period in (None, invoice.period)
        ]
        shown = chosen[(page - 1) * per_page : page * per_page]
        return {
            "invoices": [self._summary(invoice) for invoice in shown],
            "pagination": {"page": page, "perPage": per_page, "total": len(chosen)},
        }

    def read_invoice(self, request: Request) -> Any:
        invoice_id = request.path_params["invoice_id"]
        invoice = self._invoices.get(invoice_id)
        if invoice is None:
            raise _Refusal(404, {"error": "not_found", "message": f"no invoice {invoice_id!r}"})
        return {**_head(invoice), "lines": _lines(invoice), "totalHT": invoice.total_ht, "totalTTC": invoice.total_ttc}

    def reconcile(self, request: Request) -> Any:
        period, codes = _period(request, required=True), self._codes(request)
        status = request.query_params.get("status")
        if status is not None and status not in STATUSES:
            raise _invalid("status", f"{status!r} is none of {', '.join(STATUSES)}")
        items = [
            item for (code, month), found in self._items.items() if code in codes and month == period for item in found
        ]
        summary: dict[str, Any] = {"totalServices": len(items)}
        for name, one in (("matched", "MATCHED"), ("unmatched", "UNMATCHED"), ("discrepancies", "DISCREPANCY")):
            summary[name] = sum(item["status"] == one for item in items)
        shown: list[Any] = [item for item in items if status in (None, item["status"])]
        return {"period": str(period), "summary": summary, "items": shown}

    def _codes(self, request: Request) -> tuple[str, ...]:
        """An operator the hub does not collect has no invoices; that is an empty answer, not an error."""
        code = request.query_params.get("operatorCode")
        return tuple(operator.code for operator in self._operators if code in (None, operator.code))

    def _summary(self, invoice: Invoice) -> Any:
        return {
            **_head(invoice),
            "totalHT": invoice.total_ht,
            "totalTTC": invoice.total_ttc,
            "currency": invoice.currency,
            "lineCount": invoice.line_count,
            "receivedAt": f"{invoice.issued_on.isoformat()}T00:00:00Z",
            "reconciliationStatus": self._status[invoice.invoice_id],
        }


def _head(invoice: Invoice) -> dict[str, Any]:
    operator: Any = {"code": invoice.operator.code, "name": invoice.operator.name}
    return {"invoiceId": invoice.invoice_id, "operator": operator, "period": str(invoice.period)}


def _lines(invoice: Invoice) -> list[Any]:
    return [
        {
            "lineId": line_reference(invoice.operator, position, position),
            "serviceId": charge.service_id,
            "description": charge.description,
            "quantity": charge.quantity,
            "unitPriceHT": charge.unit_price,
            "totalHT": charge.amount,
        }
        for position, charge in enumerate(invoice.charges, start=1)
    ]


def _compare(reseller: Reseller, operator: SandboxOperator, period: Period) -> Iterable[dict[str, Any]]:
    """The hub's own verdicts: each active service against the sum of the recurring lines that name it.

    It knows no tolerance and no currency, wants a line for a service that costs nothing, and does not look at lines
    of inactive services; so on some services it and our reconciliation disagree: what source_verdicts is for.
    """
    first_line: dict[str | None, str] = {}
    billed_for: dict[str | None, Decimal] = {}
    for invoice in reseller.invoices[operator.code, period]:
        for position, charge in enumerate(invoice.charges, start=1):
            if charge.charge_type is ChargeType.RECURRING:
                first_line.setdefault(charge.service_id, line_reference(operator, position, position))
                billed_for[charge.service_id] = billed_for.get(charge.service_id, Decimal("0.00")) + charge.amount
    for service in reseller.services[operator.code]:
        if service.terms.active_days(period) is None:
            continue
        due = expected_amount(service.terms, period, operator.proration)
        line_id, billed = first_line.get(service.service_id), billed_for.get(service.service_id)
        status = "UNMATCHED" if billed is None else "MATCHED" if billed == due else "DISCREPANCY"
        item: dict[str, Any] = {
            "serviceId": service.service_id, "invoiceLineId": line_id, "status": status,
            "serviceAmount": due, "invoiceAmount": billed,
        }  # fmt: skip
        if billed is None:
            item["detail"] = _NOT_BILLED
        elif billed != due:
            item["detail"] = f"Écart de {french_amount(billed - due, service.currency)} HT"
        yield item
