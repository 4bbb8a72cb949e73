"""The customer invoicing API over real HTTP: from draft to PDF, what a finalized document refuses, cents that add up."""

import copy
from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from billing_pipeline.periods import PARIS
from billing_pipeline.sandbox.access import DEMO_SECRETS, INVOICING_KEY
from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.reseller import generate_reseller
from billing_pipeline.sandbox.server import SandboxServer
from billing_pipeline_tests.sandbox.test_sandbox_orange import assert_valid_pdf

BASE = "/v2/billing"
NOW = 1_712_300_000  # 2024-04-05 08:53:20 in Paris
LINE = {
    "unitPrice": 2500, "quantity": 1, "quantityUnit": "unit", "designation": "Accès FTTH 1Gbps",
    "type": "service_delivery", "vatCode": "FR_2000",
}  # fmt: skip
TIMELINE = {"emittedAt": 1711922400, "paymentDelay": "thirty_days"}


@pytest.fixture(scope="module")
def app() -> Starlette:
    return create_app(generate_reseller(scale=5), api_key="k", clock=lambda: NOW)


@pytest.fixture(scope="module")
def client(app: Starlette) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {DEMO_SECRETS[INVOICING_KEY]}"}
    with (
        SandboxServer(app) as server,
        httpx.Client(base_url=server.base_url + BASE, headers=headers, trust_env=False) as client,
    ):
        yield client


def _draft(client: httpx.Client, *lines: dict[str, Any]) -> str:
    made = client.post("/invoice/CUST-001")
    assert made.status_code == 201, made.text
    identifier = made.json()["id"]
    assert isinstance(identifier, str)
    if lines:
        sent = client.patch(f"/{identifier}/lines", json={"lines": list(lines)})
        assert sent.status_code == 200, sent.text
    return identifier


def _finalized(client: httpx.Client) -> dict[str, Any]:
    identifier = _draft(client, LINE)
    answer = client.patch(f"/{identifier}/finalize")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


def test_the_guide_from_draft_to_pdf(client: httpx.Client) -> None:
    identifier = _draft(client)
    draft = client.get(f"/invoice/{identifier}").json()
    assert (draft["state"], draft["type"], draft["finalizable"], "number" in draft) == (
        "draft",
        "invoice",
        False,
        False,
    )
    sent = client.patch(f"/{identifier}/lines", json={"lines": [LINE, {**LINE, "unitPrice": 1850}]})
    assert sent.json()["total"]["amountWithoutTaxAfterDiscount"] == 4350
    informed = client.patch(
        f"/invoice/{identifier}/general-informations",
        json={"headerNote": "Thank you for your business!", "vatMention": "not_subject"},
    )
    assert informed.json()["billingLegals"]["headerNote"] == "Thank you for your business!"
    dated = client.patch(f"/invoice/{identifier}/timeline", json=TIMELINE).json()
    assert (dated["emittedAt"], dated["paymentDelay"]) == (1711922400, "thirty_days")
    assert datetime.fromtimestamp(dated["dueAt"], PARIS).isoformat() == "2024-05-01T00:00:00+02:00"
    done = client.patch(f"/{identifier}/finalize").json()
    assert (done["state"], done["locked"], done["isEditable"], done["isDeletable"]) == ("finalized", True, False, False)
    assert (done["finalizedAt"], done["number"]) == (NOW, "INV-2024-001")
    pdf = client.get(f"/{identifier}/download", params={"locale": "fr"})
    assert pdf.headers["content-type"] == "application/pdf"
    assert_valid_pdf(pdf.content)
    assert b"Facture INV-2024-001" in pdf.content
    assert b"TTC 52.20 EUR" in pdf.content


@pytest.mark.parametrize(("locale", "title"), [("fr", b"Facture"), ("en", b"Invoice"), ("de", b"Rechnung")])
def test_a_pdf_speaks_the_language_asked_for(client: httpx.Client, locale: str, title: bytes) -> None:
    invoice = _finalized(client)
    content = client.get(f"/{invoice['id']}/download", params={"locale": locale}).content
    assert title + b" INV-2024-" in content
    assert client.get(f"/{invoice['id']}/download", params={"locale": "xx"}).json()["param"] == "locale"


def test_an_invoice_has_every_member_the_openapi_requires(client: httpx.Client) -> None:
    required = [
        "id",
        "type",
        "state",
        "customer",
        "locale",
        "emittedAt",
        "finalizable",
        "test",
        "isEditable",
        "currencyCode",
        "currency",
        "attachments",
        "finalizeRequirements",
        "emitter",
        "billingLegals",
        "createdAt",
        "updatedAt",
        "compatibilityVersion",
        "isDeletable",
        "displayDeliveryAddress",
        "paymentDelay",
        "dueAt",
        "isReminderActivated",
        "isOnlinePaymentActivated",
        "isFinalInvoice",
        "lines",
        "total",
        "displaySettings",
        "hasAssociatedTransaction",
        "includeDiscountDisbursement",
    ]
    invoice = _finalized(client)
    assert set(required) <= invoice.keys()
    amounts = [
        "unitPrice",
        "designation",
        "isDeliveryOfGoods",
        "priceWithoutTaxBeforeDiscount",
        "discountAmount",
        "discount",
        "priceWithoutTaxAfterDiscount",
        "vatAmount",
        "priceTotalTax",
    ]
    assert set(amounts) <= invoice["lines"][0].keys()


CHANGES: list[tuple[str, str, Any]] = [
    ("PATCH", "/{id}/lines", {"lines": [LINE]}), ("PATCH", "/invoice/{id}/timeline", TIMELINE),
    ("PATCH", "/invoice/{id}/general-informations", {"headerNote": "x"}), ("PATCH", "/{id}/finalize", None),
    ("PUT", "/invoice/{id}/locale", {"locale": "en"}), ("PUT", "/invoice/{id}/currency", {"currency": "USD"}),
    ("PATCH", "/{id}/title", {"title": "x"}), ("DELETE", "/{id}", None),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_a_finalized_invoice_never_changes(client: httpx.Client, method: str, path: str, body: Any) -> None:
    invoice = _finalized(client)
    answer = client.request(method, path.format(id=invoice["id"]), json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "document_finalized")
    assert set(answer.json()) == {"type", "code", "message", "param"}
    assert client.get(f"/{invoice['id']}").json() == invoice


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_a_draft_accepts_what_a_finalized_one_refuses(client: httpx.Client, method: str, path: str, body: Any) -> None:
    identifier = _draft(client, LINE)
    assert client.request(method, path.format(id=identifier), json=body).status_code in (200, 204)


def test_a_draft_without_lines_cannot_be_finalized(client: httpx.Client) -> None:
    identifier = _draft(client)
    answer = client.patch(f"/{identifier}/finalize")
    assert (answer.status_code, answer.json()["code"]) == (409, "requirements_not_met")
    draft = client.get(f"/{identifier}").json()
    assert draft["state"] == "draft"
    assert [one["name"] for one in draft["finalizeRequirements"]] == ["hasLines"]


def test_a_deleted_draft_is_gone_and_takes_no_number(client: httpx.Client, app: Starlette) -> None:
    before = _finalized(client)["number"]
    identifier = _draft(client, LINE)
    gone = client.delete(f"/{identifier}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert client.get(f"/{identifier}").status_code == 404
    assert client.delete(f"/{identifier}").status_code == 404
    assert identifier in app.state.invoicing.deleted
    after = _finalized(client)["number"]
    assert int(after.rpartition("-")[2]) == int(before.rpartition("-")[2]) + 1


def test_a_credit_note_has_the_invoices_lines_and_its_own_life(client: httpx.Client) -> None:
    invoice = _finalized(client)
    asset = client.post(f"/invoice/{invoice['id']}/asset").json()
    assert (asset["type"], asset["state"], asset["total"]) == ("asset", "draft", invoice["total"])
    assert client.get(f"/asset/{asset['id']}").json() == asset
    assert client.get(f"/invoice/{asset['id']}").status_code == 404
    done = client.patch(f"/{asset['id']}/finalize").json()
    assert done["number"].startswith("AV-2024-")
    assert client.get(f"/{invoice['id']}").json() == invoice
    second = client.post(f"/invoice/{invoice['id']}/asset").json()
    refused = client.patch(f"/{second['id']}/finalize")
    assert (refused.status_code, refused.json()["code"]) == (409, "requirements_not_met")


def test_a_draft_is_not_credited(client: httpx.Client) -> None:
    answer = client.post(f"/invoice/{_draft(client, LINE)}/asset")
    assert (answer.status_code, answer.json()["code"]) == (409, "document_not_finalized")


@pytest.mark.parametrize(
    ("line", "net", "tax"),
    [
        ({"unitPrice": 333, "quantity": 1}, 333, 67), ({"unitPrice": 25, "quantity": 0.5}, 13, 3),
        ({"unitPrice": 1000, "vatCode": "FR_550"}, 1000, 55), ({"unitPrice": 1000, "vatCode": "FR_210"}, 1000, 21),
        ({"unitPrice": 1000, "vatCode": "FR_850"}, 1000, 85), ({"unitPrice": 1000, "vatCode": "FR_00HT"}, 1000, 0),
        ({"unitPrice": 999, "discount": {"mode": "PERCENTAGE", "amount": 1000}}, 899, 180),
        ({"unitPrice": 999, "discount": {"mode": "AMOUNT", "amount": 99}}, 900, 180), ({"unitPrice": -500}, -500, -100),
        ({"unitPrice": 2, "quantity": 1.25}, 3, 1),
    ],
)  # fmt: skip
def test_a_line_is_rounded_to_the_cent_away_from_zero(
    client: httpx.Client, line: dict[str, Any], net: int, tax: int
) -> None:
    found = client.get(f"/{_draft(client, {**LINE, **line})}").json()
    shown = found["lines"][0]
    assert (shown["priceWithoutTaxAfterDiscount"], shown["vatAmount"]) == (net, tax)
    assert shown["priceTotalTax"] == net + tax
    assert found["total"]["amountWithTaxAfterDiscount"] == net + tax
    assert [detail["amount"] for detail in found["total"]["vatDetails"]] == [tax]


def test_sums_are_those_of_the_lines_and_vat_goes_by_code(client: httpx.Client) -> None:
    lines = [{**LINE, "unitPrice": 33 * n, "vatCode": code} for n in range(1, 20) for code in ("FR_2000", "FR_850")]
    total = client.get(f"/{_draft(client, *lines)}").json()["total"]
    taxes = {"FR_2000": 0, "FR_850": 0}
    for line in lines:
        share = Decimal(line["unitPrice"]) * (Decimal("0.2") if line["vatCode"] == "FR_2000" else Decimal("0.085"))
        taxes[line["vatCode"]] += int(share.quantize(Decimal(1), ROUND_HALF_UP))
    assert {detail["vatCode"]: detail["amount"] for detail in total["vatDetails"]} == taxes
    assert {detail["vatCode"]: detail["vatRate"] for detail in total["vatDetails"]} == {"FR_2000": 20, "FR_850": 8.5}
    net = sum(line["unitPrice"] for line in lines)
    assert total["amountWithoutTaxAfterDiscount"] == net
    assert total["amountWithTaxAfterDiscount"] == net + sum(taxes.values())


@pytest.mark.parametrize(
    ("delay", "due"),
    [
        ("at_reception", "2024-01-31"), ("seven_days", "2024-02-07"), ("end_of_month", "2024-01-31"),
        ("thirty_days_end_of_month", "2024-03-31"), ("one_hundred_and_twenty_days", "2024-05-30"),
    ],
)  # fmt: skip
def test_the_day_to_pay_follows_the_delay(client: httpx.Client, delay: str, due: str) -> None:
    emitted = int(datetime(2024, 1, 31, tzinfo=PARIS).timestamp())
    body = {"emittedAt": emitted, "paymentDelay": delay}
    shown = client.patch(f"/invoice/{_draft(client)}/timeline", json=body).json()
    assert datetime.fromtimestamp(shown["dueAt"], PARIS).date().isoformat() == due


def test_another_delay_needs_its_date(client: httpx.Client) -> None:
    identifier = _draft(client)
    body = {"emittedAt": NOW, "paymentDelay": "other"}
    answer = client.patch(f"/invoice/{identifier}/timeline", json=body)
    assert (answer.status_code, answer.json()["param"]) == (400, "customDueDate")
    shown = client.patch(f"/invoice/{identifier}/timeline", json={**body, "customDueDate": NOW + 86400}).json()
    assert shown["dueAt"] == NOW + 86400


def _line_with(**changes: Any) -> dict[str, Any]:
    line = copy.deepcopy(LINE)
    line.update(changes)
    return {"lines": [{name: value for name, value in line.items() if value is not ...}]}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("lines", {}, "lines"), ("lines", [], ""), ("lines", {"lines": {}}, "lines"), ("lines", {"lines": [1]}, "lines[0]"),
        ("lines", _line_with(unitPrice=25.5), "lines[0].unitPrice"),
        ("lines", _line_with(unitPrice="2500"), "lines[0].unitPrice"),
        ("lines", _line_with(unitPrice=True), "lines[0].unitPrice"),
        ("lines", _line_with(unitPrice=...), "lines[0].unitPrice"),
        ("lines", _line_with(quantity=0), "lines[0].quantity"),
        ("lines", _line_with(quantityUnit="piece"), "lines[0].quantityUnit"),
        ("lines", _line_with(designation=" "), "lines[0].designation"),
        ("lines", _line_with(type="service"), "lines[0].type"),
        ("lines", _line_with(vatCode="FR_20"), "lines[0].vatCode"),
        ("lines", _line_with(isTaxIncluded=True), "lines[0].isTaxIncluded"),
        ("lines", _line_with(unit_price=1), "lines[0].unit_price"),
        ("lines", _line_with(discount={"mode": "PERCENTAGE", "amount": 10001}), "lines[0].discount.amount"),
        ("lines", {"lines": [], "discount": {"mode": "AMOUNT", "amount": 1}}, "discount"),
        ("timeline", {"emittedAt": NOW}, "paymentDelay"), ("timeline", {"paymentDelay": "thirty_days"}, "emittedAt"),
        ("timeline", {**TIMELINE, "emittedAt": NOW * 1000}, "emittedAt"),
        ("timeline", {**TIMELINE, "emittedAt": 1711922400.5}, "emittedAt"),
        ("timeline", {**TIMELINE, "emittedAt": "2024-04-01"}, "emittedAt"),
        ("timeline", {**TIMELINE, "paymentDelay": "30 days"}, "paymentDelay"),
        ("general-informations", {"vatMention": "none"}, "vatMention"),
        ("general-informations", {"headerNote": 1}, "headerNote"),
        ("general-informations", {"paymentMethods": ["barter"]}, "paymentMethods[0]"),
        ("general-informations", {"isOnlinePaymentActivated": "yes"}, "isOnlinePaymentActivated"),
    ],
)  # fmt: skip
def test_a_bad_body_is_refused_by_the_path_of_its_value(client: httpx.Client, path: str, body: Any, param: str) -> None:
    identifier = _draft(client)
    before = client.get(f"/{identifier}").json()
    where = f"/{identifier}/lines" if path == "lines" else f"/invoice/{identifier}/{path}"
    answer = client.patch(where, json=body)
    assert (answer.status_code, answer.json()["param"]) == (400, param)
    assert client.get(f"/{identifier}").json() == before


def test_a_body_that_is_no_json_is_refused(client: httpx.Client) -> None:
    answer = client.patch(f"/{_draft(client)}/lines", content=b'{"lines": [')
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", f"Basic {DEMO_SECRETS[INVOICING_KEY]}"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/invoice/C1"), ("GET", "/x"), ("PATCH", "/x/finalize")])
def test_nobody_invoices_without_the_key(client: httpx.Client, method: str, path: str, header: str | None) -> None:
    request = client.build_request(method, path)
    del request.headers["Authorization"]
    if header is not None:
        request.headers["Authorization"] = header
    answer = client.send(request)
    assert (answer.status_code, answer.json()["type"]) == (401, "authentication_error")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/x"), ("GET", "/invoice/x"), ("GET", "/asset/x"), ("PATCH", "/x/finalize"), ("DELETE", "/x"),
        ("GET", "/x/download"), ("POST", "/invoice/x/asset"), ("GET", "/a/b/c/d"), ("PATCH", "/invoice/x/finalize"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_a_404_in_the_apis_words(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert set(answer.json()) == {"type", "code", "message", "param"}


def test_a_customer_id_that_is_none_is_refused(client: httpx.Client) -> None:
    assert client.post("/invoice/%20").json()["param"] == "customerId"
