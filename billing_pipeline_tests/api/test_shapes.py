"""The hub's published examples come out as they are published; every digit, letter and null arrives as it is stored."""

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from billing_pipeline_tests.api.results import put
from billing_pipeline_tests.api.serving import LIST, RECONCILIATION, Serving, configuration, exact, serving
from billing_pipeline_tests.pipeline.program import cold

ORANGE = {"operator_code": "ORANGE", "period": "2024-03"}
SEED_ID = "INV-ORA-2024-03-001"
# The guide's three examples, number for number; ours adds state and operatorCode.
SEED_LISTED = """{
"invoiceId": "INV-ORA-2024-03-001", "operator": { "code": "ORANGE", "name": "Orange" }, "period": "2024-03",
"totalHT": 12450.00, "totalTTC": 14940.00, "currency": "EUR", "lineCount": 342, "receivedAt": "2024-04-05T00:00:00Z",
"reconciliationStatus": "MATCHED" }"""
SEED_DETAIL = """{
"invoiceId": "INV-ORA-2024-03-001", "operator": { "code": "ORANGE", "name": "Orange" }, "period": "2024-03",
"lines": [
{ "lineId": "LN-001", "serviceId": "SVC-2024-00142", "description": "Accès FTTH activé 1Gbps - IMB/33063/C/025A",
"quantity": 1, "unitPriceHT": 25.00, "totalHT": 25.00 },
{ "lineId": "LN-002", "serviceId": "SVC-2024-00098", "description": "Accès FTTH activé 500Mbps - IMB/75108/A/012B",
"quantity": 1, "unitPriceHT": 18.50, "totalHT": 18.50 } ],
"totalHT": 12450.00, "totalTTC": 14940.00 }"""
SEED_RECONCILIATION = """{
"period": "2024-03",
"state": "EVALUATED",
"summary": { "totalServices": 342, "matched": 338, "unmatched": 2, "discrepancies": 2 },
"items": [
{ "operatorCode": "ORANGE", "serviceId": "SVC-2024-00055", "invoiceLineId": "LN-187", "status": "DISCREPANCY", "serviceAmount": 25.00, "invoiceAmount": 28.50, "detail": "Écart de 3,50 € HT" },
{ "operatorCode": "ORANGE", "serviceId": "SVC-2024-00142", "invoiceLineId": "LN-001", "status": "MATCHED", "serviceAmount": 25.00, "invoiceAmount": 25.00 },
{ "operatorCode": "ORANGE", "serviceId": "SVC-2024-00201", "invoiceLineId": null, "status": "UNMATCHED", "serviceAmount": 22.00, "invoiceAmount": null, "detail": "Service actif sans ligne de facturation correspondante" }
] }"""
AWKWARD_TEXT = 'a "quoted" \\ back\\\\slash\ttab\nline \u2028 \x01 é 😀 \x7f </script> =cmd()'
AWKWARD_IDS = ["a/b c", "..%2F..", "é?x=1&y#z", "100%", "a+b", "'; DROP TABLE billing.invoices; --", "%(limit)s", "😀"]
AMOUNTS = {
    "18.3349": "18.3349", "0.1": "0.10", "-0.5": "-0.50", "0": "0.00", "123456789012.123456": "123456789012.123456",
    "-999999999999.999999": "-999999999999.999999", "0.000001": "0.000001", "1000": "1000.00", "25.10": "25.10",
}  # fmt: skip


def store_seed(url: str) -> None:
    put(url, "invoices", {
        **ORANGE, "invoice_id": SEED_ID, "operator_name": "Orange", "total_ht": "12450", "total_ttc": "14940",
        "currency": "EUR", "line_count": 342, "received_at": "2024-04-05T02:00:00+02:00",
    })  # fmt: skip
    put(url, "invoice_reconciliation", {**ORANGE, "invoice_id": SEED_ID, "reconciliation_status": "MATCHED"})
    # By their place in the document, not by their ids; the two could differ.
    for row, line in enumerate(json.loads(SEED_DETAIL)["lines"], start=1):
        put(url, "invoice_lines", {
            **ORANGE, "invoice_id": SEED_ID, "line_id": line["lineId"], "service_id": line["serviceId"],
            "description": line["description"], "quantity": 1, "unit_price_ht": str(line["unitPriceHT"]),
            "total_ht": str(line["totalHT"]), "source_row": row,
        })  # fmt: skip
    summary = {"total_services": 342, "matched": 338, "unmatched": 2, "discrepancies": 2}
    put(url, "reconciliation_summary", {**ORANGE, "state": "EVALUATED", **summary})
    for item in exact(SEED_RECONCILIATION)["items"]:
        put(url, "reconciliation_items", {
            **ORANGE, "item_id": f"service:{item['serviceId']}", "service_id": item["serviceId"],
            "invoice_line_id": item["invoiceLineId"], "status": item["status"], "service_amount": item["serviceAmount"],
            "invoice_amount": item["invoiceAmount"], "detail": item.get("detail"),
        })  # fmt: skip


def store_awkward(url: str) -> None:
    place = {"operator_code": "AWKWARD", "period": "2024-05"}
    for number, (written, _) in enumerate(AMOUNTS.items()):
        put(url, "invoice_lines", {
            **place, "invoice_id": "NUMBERS", "line_id": f"L{number}", "source_row": number + 1, "quantity": written,
            "unit_price_ht": written, "total_ht": written,
        })  # fmt: skip
    put(url, "invoices", {**place, "invoice_id": "NUMBERS", "received_at": "2024-04-05T01:02:03.120400Z"})
    put(url, "invoices", {**place, "invoice_id": "BARE"})
    put(url, "invoice_lines", {
        **place, "invoice_id": "BARE", "line_id": "L1", "total_ht": "1", "source_row": 1, "description": AWKWARD_TEXT,
    })  # fmt: skip
    for invoice_id in AWKWARD_IDS:
        put(url, "invoices", {**place, "invoice_id": invoice_id, "operator_name": AWKWARD_TEXT})
    for code, total in (("ORANGE", "1"), ("AWKWARD", "2")):
        put(url, "invoices", {"operator_code": code, "period": "2024-06", "invoice_id": "TWICE", "total_ht": total})


@pytest.fixture(scope="module")
def api(new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    url = new_database()
    store_seed(url)
    store_awkward(url)
    folder = configuration(tmp_path_factory.mktemp("shapes"), ["ORANGE", "AWKWARD"])
    with serving(folder, url) as running:
        running.folder, running.url = folder, url  # type: ignore[attr-defined]
        yield running


def read_invoice(api: Serving, invoice_id: str, **parameters: str) -> Any:
    return api.read(f"{LIST}/{quote(invoice_id, safe='')}", **parameters)


def test_the_guides_example_of_the_list_comes_out_as_published(api: Serving) -> None:
    answer = api.read(LIST, period="2024-03", operatorCode="ORANGE", page="1", perPage="50")
    assert answer == {"invoices": [exact(SEED_LISTED)], "pagination": {"page": 1, "perPage": 50, "total": 1}}
    assert list(answer["invoices"][0]) == list(exact(SEED_LISTED))


def test_the_guides_example_of_an_invoice_comes_out_as_published(api: Serving) -> None:
    answer = read_invoice(api, SEED_ID)
    assert answer == exact(SEED_DETAIL)
    assert list(answer) == list(exact(SEED_DETAIL))


def test_the_guides_example_of_a_reconciliation_comes_out_as_published(api: Serving) -> None:
    assert api.read(RECONCILIATION, period="2024-03", operatorCode="ORANGE") == exact(SEED_RECONCILIATION)


def test_numbers_are_written_as_the_guide_writes_them(api: Serving) -> None:
    """Parsed, 25 and 25.00 are equal; a reader of the text sees two decimals, and a whole quantity without any."""
    numbers = re.findall(r"[:] ?(-?[0-9][0-9.eE+-]*)", api.get(f"{LIST}/{SEED_ID}").text)
    assert numbers == ["1", "25.00", "25.00", "1", "18.50", "18.50", "12450.00", "14940.00"]


def test_no_digit_of_an_amount_is_lost_or_made_up(api: Serving) -> None:
    text = api.get(f"{LIST}/NUMBERS").text
    assert re.findall(r'"totalHT" : (\S+?)}', text)[: len(AMOUNTS)] == list(AMOUNTS.values())
    lines = exact(text)["lines"]
    assert [line["unitPriceHT"] for line in lines] == [Decimal(written) for written in AMOUNTS]
    assert [line["quantity"] for line in lines] == [Decimal(written) for written in AMOUNTS]
    assert re.findall(r'"quantity" : (\S+?),', text) == [
        "18.3349", "0.10", "-0.50", "0", "123456789012.123456", "-999999999999.999999", "0.000001", "1000", "25.10",
    ]  # fmt: skip


def test_what_nobody_stated_is_null_and_not_left_out(api: Serving) -> None:
    answer = read_invoice(api, "BARE")
    assert answer["operator"] == {"code": "AWKWARD", "name": None}
    assert (answer["totalHT"], answer["totalTTC"]) == (None, None)
    line = answer["lines"][0]
    assert line == {
        "lineId": "L1", "serviceId": None, "description": AWKWARD_TEXT, "quantity": None, "unitPriceHT": None,
        "totalHT": Decimal("1.00"),
    }  # fmt: skip
    listed = next(one for one in api.read(LIST, period="2024-05")["invoices"] if one["invoiceId"] == "BARE")
    assert listed["receivedAt"] is None
    assert listed["reconciliationStatus"] is None
    assert listed["lineCount"] is None


def test_an_instant_keeps_its_fraction_of_a_second(api: Serving) -> None:
    listed = {one["invoiceId"]: one["receivedAt"] for one in api.read(LIST, period="2024-05")["invoices"]}
    assert listed["NUMBERS"] == "2024-04-05T01:02:03.1204Z"


@pytest.mark.parametrize("invoice_id", AWKWARD_IDS)
def test_an_invoice_is_found_whatever_its_number_looks_like(api: Serving, invoice_id: str) -> None:
    answer = read_invoice(api, invoice_id)
    assert answer["invoiceId"] == invoice_id
    assert answer["operator"]["name"] == AWKWARD_TEXT


def test_a_number_two_operators_use_is_not_answered_with_a_pick(api: Serving) -> None:
    answer = api.get(f"{LIST}/TWICE")
    assert answer.status_code == 409
    assert answer.json()["param"] == "operatorCode"
    assert "AWKWARD, ORANGE" in answer.json()["message"]
    assert read_invoice(api, "TWICE", operatorCode="AWKWARD")["totalHT"] == 2
    assert read_invoice(api, "TWICE", operatorCode="ORANGE")["totalHT"] == 1


def test_an_invoice_is_not_found_under_another_operator(api: Serving) -> None:
    assert api.get(f"{LIST}/{SEED_ID}", operatorCode="AWKWARD").status_code == 404


def test_the_command_line_and_the_api_show_one_shape(api: Serving, tmp_path: Path) -> None:
    folder: Path = api.folder  # type: ignore[attr-defined]
    url: str = api.url  # type: ignore[attr-defined]
    ended = cold(
        "summary", "--period", "2024-03", "--operator", "ORANGE", "--format", "json", folder=folder,
        extra={"BILLING_POSTGRES_URL": url, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert ended.code == 0, ended.err
    served = api.read(RECONCILIATION, period="2024-03", operatorCode="ORANGE")
    for item in served["items"]:
        assert item.pop("operatorCode") == "ORANGE"
    assert exact(ended.out) == served
