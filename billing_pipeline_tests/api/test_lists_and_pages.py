"""Pages add up to the whole, in one order, and the stream says the same; sums of several operators hide none of them."""

from decimal import Decimal

import psycopg
import pytest

from billing_pipeline_tests.api.serving import LIST, RECONCILIATION, Serving

PERIODS = ("2022-01", "2022-02", "2022-03")
ALL = [f"INV-{code}-{period}-{number:04d}" for period in PERIODS for code in ("OP01", "OP02") for number in range(1, 8)]


def pages(api: Serving, path: str, name: str, per_page: int, **parameters: str) -> list[object]:
    """Every entry, page after page, until one is empty."""
    found: list[object] = []
    page = 1
    while entries := (answer := api.read(path, page=page, perPage=per_page, **parameters))[name]:
        assert answer["pagination"]["page"] == page
        assert answer["pagination"]["perPage"] == per_page
        found += entries
        page += 1
    assert answer["pagination"]["total"] == len(found)
    return found


@pytest.mark.parametrize("per_page", [1, 5, 42, 500])
def test_the_pages_of_the_list_are_the_list_whatever_their_size(results_api: Serving, per_page: int) -> None:
    assert [entry["invoiceId"] for entry in pages(results_api, LIST, "invoices", per_page)] == ALL


def test_an_invoice_in_the_list_says_what_its_row_says(results_api: Serving) -> None:
    answer = results_api.read(LIST, period="2022-02", operatorCode="OP02", perPage=2, page=2)
    assert answer == {
        "invoices": [
            {
                "invoiceId": f"INV-OP02-2022-02-000{number}",
                "operator": {"code": "OP02", "name": "Opérateur 2"},
                "period": "2022-02",
                "totalHT": Decimal(f"{number}00.50"),
                "totalTTC": Decimal(f"{120 * number}.60"),
                "currency": "EUR",
                "lineCount": 3,
                "receivedAt": "2024-04-05T00:00:00Z",
                "reconciliationStatus": status,
            }
            for number, status in ((3, "MATCHED"), (4, "UNMATCHED"))
        ],
        "pagination": {"page": 2, "perPage": 2, "total": 7},
    }


def test_fifty_results_are_a_page_unless_told_otherwise(results_api: Serving) -> None:
    assert results_api.read(LIST)["pagination"] == {"page": 1, "perPage": 50, "total": 42}
    assert results_api.read(RECONCILIATION, period="2022-01", page=1)["pagination"]["perPage"] == 50


def test_a_page_past_the_last_is_empty_and_still_tells_the_total(results_api: Serving) -> None:
    assert results_api.read(LIST, page=999_999_999, perPage=500) == {
        "invoices": [],
        "pagination": {"page": 999_999_999, "perPage": 500, "total": 42},
    }


def test_a_month_without_invoices_is_an_empty_list(results_api: Serving) -> None:
    assert results_api.read(LIST, period="2019-01")["invoices"] == []


@pytest.mark.parametrize("parameters", [{}, {"operatorCode": "OP02"}, {"status": "DISCREPANCY"}])
def test_the_stream_and_the_pages_hold_the_same_items(results_api: Serving, parameters: dict[str, str]) -> None:
    streamed = results_api.read(RECONCILIATION, period="2022-02", **parameters)
    paged = pages(results_api, RECONCILIATION, "items", 4, period="2022-02", **parameters)
    assert streamed["items"] == paged
    assert len(paged) == {"operatorCode": 9, "status": 6}.get(next(iter(parameters), ""), 18)
    assert "pagination" not in streamed


def test_items_of_each_status_have_what_the_hub_gives_them(results_api: Serving) -> None:
    answer = results_api.read(RECONCILIATION, period="2022-01", operatorCode="OP01")
    assert answer["period"] == "2022-01"
    assert answer["state"] == "EVALUATED"
    assert answer["summary"] == {"totalServices": 9, "matched": 3, "unmatched": 3, "discrepancies": 3}
    assert "operators" not in answer
    assert answer["items"][:3] == [
        {
            "operatorCode": "OP01", "serviceId": "SVC-000001", "invoiceLineId": "LN-00001", "status": "DISCREPANCY",
            "serviceAmount": Decimal("25.00"), "invoiceAmount": Decimal("28.50"), "detail": "Écart de 3,50 € HT",
        },
        {
            "operatorCode": "OP01", "serviceId": "SVC-000002", "invoiceLineId": None, "status": "UNMATCHED",
            "serviceAmount": Decimal("25.00"), "invoiceAmount": None,
            "detail": "Service actif sans ligne de facturation correspondante",
        },
        {
            "operatorCode": "OP01", "serviceId": "SVC-000003", "invoiceLineId": "LN-00003", "status": "MATCHED",
            "serviceAmount": Decimal("25.00"), "invoiceAmount": Decimal("25.00"),
        },
    ]  # fmt: skip


def test_a_status_filters_the_items_and_leaves_the_summary(results_api: Serving) -> None:
    answer = results_api.read(RECONCILIATION, period="2022-01", operatorCode="OP01", status="UNMATCHED")
    assert answer["summary"]["totalServices"] == 9
    assert [item["serviceId"] for item in answer["items"]] == ["SVC-000002", "SVC-000005", "SVC-000008"]


def test_an_operator_that_was_never_run_is_said_to_be_missing_and_not_left_out_of_a_sum(results_api: Serving) -> None:
    nulls = {"totalServices": None, "matched": None, "unmatched": None, "discrepancies": None}
    answer = results_api.read(RECONCILIATION, period="2022-01", perPage=1)
    assert answer["state"] == "NOT_EVALUATED"
    assert answer["stateDetail"] == "OP03: this period was never run for this operator"
    assert answer["summary"] == nulls
    assert [(one["code"], one["state"], one["summary"]["totalServices"]) for one in answer["operators"]] == [
        ("OP01", "EVALUATED", 9), ("OP02", "EVALUATED", 9), ("OP03", "NOT_EVALUATED", None),
    ]  # fmt: skip
    alone = results_api.read(RECONCILIATION, period="2022-01", operatorCode="OP03")
    assert alone == {
        "period": "2022-01",
        "state": "NOT_EVALUATED",
        "stateDetail": "this period was never run for this operator",
        "summary": nulls,
        "items": [],
    }


def test_the_list_is_in_one_order_though_the_rows_lie_in_another(results_api: Serving, results_url: str) -> None:
    with psycopg.connect(results_url) as connection:
        lying = [row[0] for row in connection.execute("SELECT invoice_id FROM billing.invoices").fetchall()]
    assert lying != ALL, "the rows already lie in the order of the list; this test would prove nothing"
    assert [entry["invoiceId"] for entry in results_api.read(LIST)["invoices"]] == ALL
