"""What we send is what the published OpenAPI document allows: with that document where one is offered, else with its parts
that the sandbox states itself.

BILLING_TEST_INVOICING_OPENAPI names the document; else ../shared/contracts/customer_invoicing_openapi.json beside the
repository, where there is one.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from billing_pipeline.normalize.customers import LOCALES, PAYMENT_DELAYS, VAT_RATES
from billing_pipeline.rebilling.documents import informations_body, lines_body, timeline_body
from billing_pipeline.sandbox import customer_bodies
from billing_pipeline_tests.rebilling.world import CUSTOMERS, NOW, plans

BESIDE = Path(__file__).parents[3] / "shared" / "contracts" / "customer_invoicing_openapi.json"
PUBLISHED = Path(os.environ.get("BILLING_TEST_INVOICING_OPENAPI") or BESIDE)


def bodies() -> list[tuple[str, str, Any]]:
    made = []
    for locale in LOCALES:
        for vat_code in VAT_RATES:
            customer = replace(CUSTOMERS["CUST-A"], locale=locale, vat_code=vat_code)
            plan = replace(plans()["CUST-A"], customer=customer)
            made.append(("patch", "/v2/billing/{billingId}/lines", lines_body(plan)))
            made.append(("patch", "/v2/billing/invoice/{invoiceId}/general-informations", informations_body(plan)))
    for delay in PAYMENT_DELAYS:
        plan = replace(plans()["CUST-A"], customer=replace(CUSTOMERS["CUST-A"], payment_delay=delay))
        made.append(("patch", "/v2/billing/invoice/{invoiceId}/timeline", timeline_body(plan, NOW.date())))
    made.append(("put", "/v2/billing/invoice/{invoiceId}/currency", {"currency": "USD"}))
    return made


def test_every_body_passes_the_checks_the_project_states_itself() -> None:
    checks = {
        "lines": customer_bodies.LINES, "general-informations": customer_bodies.GENERAL_INFORMATIONS,
        "timeline": customer_bodies.TIMELINE, "currency": customer_bodies.CURRENCY,
    }  # fmt: skip
    for _, path, body in bodies():
        checks[path.rpartition("/")[2]](body, "")


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="no published OpenAPI document is offered")
def test_every_body_is_what_the_published_document_allows() -> None:
    document = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    for method, path, body in bodies():
        schema = document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]
        closed = {**_closed(schema, document), "components": document["components"]}
        jsonschema.Draft7Validator(closed).validate(body)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="no published OpenAPI document is offered")
def test_a_member_the_published_document_does_not_know_would_be_noticed() -> None:
    document = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    schema = document["paths"]["/v2/billing/{billingId}/lines"]["patch"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    closed = {**_closed(schema, document), "components": document["components"]}
    (_, _, body) = bodies()[0]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(closed).validate({"lines": [{**body["lines"][0], "unitprice": 1}]})


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="no published OpenAPI document is offered")
def test_the_words_of_the_customers_file_are_the_published_ones() -> None:
    schemas = json.loads(PUBLISHED.read_text(encoding="utf-8"))["components"]["schemas"]
    assert set(VAT_RATES) == set(schemas["VatCode"]["enum"])
    assert {*PAYMENT_DELAYS, "other"} == set(schemas["PaymentDelay"]["enum"])
    assert set(LOCALES) == set(schemas["BillingLocale"]["enum"])


def _closed(schema: Any, document: Any) -> Any:
    """The schema with its references filled in, in which an unknown member is an error."""
    if isinstance(schema, list):
        return [_closed(one, document) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _closed(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    made = {name: _closed(one, document) for name, one in schema.items() if name != "example"}
    if "properties" in made:
        made["additionalProperties"] = False
    return made
