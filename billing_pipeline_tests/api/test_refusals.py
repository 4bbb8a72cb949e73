"""What cannot be answered is said in JSON, with the parameter at fault and what to write instead."""

import pytest

from billing_pipeline_tests.api.serving import LIST, RECONCILIATION, Serving

WRONG = [
    (LIST, {"page": "0"}, "page"),
    (LIST, {"page": "-1"}, "page"),
    (LIST, {"page": "1.0"}, "page"),
    (LIST, {"page": "1e2"}, "page"),
    (LIST, {"page": " 1"}, "page"),
    (LIST, {"page": "1_0"}, "page"),
    (LIST, {"page": "٣"}, "page"),
    (LIST, {"page": "9" * 5000}, "page"),
    (LIST, {"page": ""}, "page"),
    (LIST, {"perPage": "501"}, "perPage"),
    (LIST, {"perPage": "0"}, "perPage"),
    (LIST, {"perPage": "null"}, "perPage"),
    (LIST, {"period": "2024-13"}, "period"),
    (LIST, {"period": "2024-3"}, "period"),
    (LIST, {"period": "2024-03\n"}, "period"),
    (LIST, {"period": "0000-01"}, "period"),
    (LIST, {"period": ""}, "period"),
    (LIST, {"operatorCode": "orange"}, "operatorCode"),
    (LIST, {"operatorCode": "O'; --"}, "operatorCode"),
    (LIST, {"operatorCode": "OP01\0"}, "operatorCode"),
    (LIST, {"status": "MATCHED"}, "status"),
    (LIST, {"operator_code": "OP01"}, "operator_code"),
    (LIST, {"page": ["1", "2"]}, "page"),
    (LIST, {"period": ["2022-01", "2022-01"]}, "period"),
    (RECONCILIATION, {}, "period"),
    (RECONCILIATION, {"period": "2022-01", "status": "matched"}, "status"),
    (RECONCILIATION, {"period": "2022-01", "status": ""}, "status"),
    (RECONCILIATION, {"period": "2022-01", "perPage": "100000"}, "perPage"),
    (RECONCILIATION, {"period": "2022-01", "foo": "bar"}, "foo"),
    (f"{LIST}/INV-OP01-2022-01-0001", {"page": "1"}, "page"),
]


@pytest.mark.parametrize(("path", "parameters", "at_fault"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_parameter_is_named_and_nothing_is_guessed(
    results_api: Serving, path: str, parameters: dict[str, str | list[str]], at_fault: str
) -> None:
    answer = results_api.get(path, **parameters)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert told["error"] == "invalid_parameter"
    assert told["param"] == at_fault
    assert told["message"].startswith(f"{at_fault}: ")
    assert len(told["message"]) < 400


@pytest.mark.parametrize(
    "path",
    [
        "/", "/v1", "/v1/billing", "/v2/billing/invoices", f"{LIST}/", f"{RECONCILIATION}/", f"{LIST}/NOPE", f"{LIST}/%00",
        f"{LIST}/INV-OP01-2022-01-0001/lines", f"{LIST}/%FF%FE", "/redoc", "/openapi.yaml",
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_found_in_json(results_api: Serving, path: str) -> None:
    answer = results_api.get(path)
    assert answer.status_code == 404, answer.text
    assert answer.json()["error"] == "not_found"


@pytest.mark.parametrize("path", [LIST, f"{LIST}/INV-OP01-2022-01-0001", RECONCILIATION])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"])
def test_nothing_can_be_changed(results_api: Serving, method: str, path: str) -> None:
    answer = results_api.client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert method == "HEAD" or answer.json()["error"] == "method_not_allowed"


@pytest.mark.parametrize("path", [LIST, RECONCILIATION, f"{LIST}/INV-OP01-2022-01-0001"])
def test_an_operator_that_does_not_exist_is_no_month_without_bills(results_api: Serving, path: str) -> None:
    parameters = {"period": "2022-01"} if path in (LIST, RECONCILIATION) else {}
    answer = results_api.get(path, operatorCode="OP10", **parameters)
    assert answer.status_code == 404
    assert answer.json()["param"] == "operatorCode"


def test_an_operator_without_data_that_is_configured_is_a_month_without_bills(results_api: Serving) -> None:
    assert results_api.read(LIST, operatorCode="OP03")["invoices"] == []


def test_a_page_of_a_reconciliation_of_an_unknown_operator_is_not_found(results_api: Serving) -> None:
    answer = results_api.get(RECONCILIATION, period="2022-01", operatorCode="OP10", page=1)
    assert answer.status_code == 404
