"""Filters, searches, sorting and pages of the Orange API, over real HTTP, against plain Python over all bills."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from billing_pipeline.exact_json import exact_json
from billing_pipeline.sandbox.app import create_app
from billing_pipeline.sandbox.reseller import generate_reseller
from billing_pipeline_tests.sandbox.orange_client import BASE, everything, exact, orange_client

Bill = dict[str, Any]
FIELDS = ("type", "sendingFormat", "priority", "period", "currency.id", "customer.name", "createdAt", "id", "number")


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with orange_client(create_app(generate_reseller(scale=900, operators=["ORANGE"]), api_key="k")) as client:
        yield client


@pytest.fixture(scope="module")
def bills(client: httpx.Client) -> list[Bill]:
    return everything(client)


def _at(bill: Bill, field: str) -> Any:
    """None for an absent value: the oracle's own reading of a dotted path."""
    outer, _, inner = field.partition(".")
    value = bill.get(outer)
    return value[inner] if inner else value


def _ids(bills: list[Bill]) -> list[str]:
    return [bill["id"] for bill in bills]


@pytest.mark.parametrize("seed", range(40))
def test_filters_sorting_and_pages_agree_with_plain_python(client: httpx.Client, bills: list[Bill], seed: int) -> None:
    rng = random.Random(seed)
    filters = {field: str(_at(rng.choice(bills), field)) for field in rng.sample(FIELDS[:6], rng.randrange(3))}
    sorts = rng.sample(FIELDS, rng.randrange(1, 4))
    descending = [rng.random() < 0.5 for _ in sorts]
    offset, limit = rng.randrange(20), rng.randrange(1, 25)

    expected = [bill for bill in bills if all(_at(bill, field) == text for field, text in filters.items())]
    for field, down in reversed(list(zip(sorts, descending, strict=True))):
        having = [bill for bill in expected if _at(bill, field) is not None]
        lacking = [bill for bill in expected if _at(bill, field) is None]
        expected = sorted(having, key=lambda bill, field=field: _at(bill, field), reverse=down) + lacking

    sort = ",".join(f"-{field}" if down else field for field, down in zip(sorts, descending, strict=True))
    answer = client.get(f"{BASE}/bills", params={**filters, "sort": sort, "offset": offset, "limit": limit})
    assert _ids(exact(answer)) == _ids(expected[offset : offset + limit])
    assert answer.headers["X-Total-Count"] == str(len(expected))
    assert answer.headers["X-Result-Count"] == str(len(expected[offset : offset + limit]))


def test_pages_in_a_fixed_order_hold_every_bill_once(client: httpx.Client, bills: list[Bill]) -> None:
    seen: list[str] = []
    while page := exact(client.get(f"{BASE}/bills", params={"sort": "id", "offset": len(seen), "limit": 7})):
        seen += _ids(page)
    assert seen == sorted(_ids(bills))


OPERATORS: dict[str, tuple[Any, Callable[[Bill], bool]]] = {
    "a value": ({"type": "invoice"}, lambda b: b["type"] == "invoice"),
    "$eq": ({"currency.id": {"$eq": "EUR"}}, lambda b: b["currency"]["id"] == "EUR"),
    "$eq a number": (
        {"amountExcludingTax": {"$eq": "{amount}"}},
        lambda b: b.get("amountExcludingTax") == "{amount}",
    ),
    "$neq": ({"type": {"$neq": "invoice"}}, lambda b: b["type"] != "invoice"),
    "$neq of an absent value": ({"period": {"$neq": "2024-01"}}, lambda b: b.get("period") != "2024-01"),
    "$gt": ({"amountExcludingTax": {"$gt": 100}}, lambda b: b.get("amountExcludingTax", 0) > 100),
    "$gte": ({"createdAt": {"$gte": "2024-03-01"}}, lambda b: b["createdAt"] >= "2024-03-01"),
    "$lt": ({"amountExcludingTax": {"$lt": 100}}, lambda b: b.get("amountExcludingTax", 100) < 100),
    "$lte": ({"period": {"$lte": "2024-01"}}, lambda b: b.get("period", "9") <= "2024-01"),
    "$in": ({"currency.id": {"$in": ["GBP", "USD"]}}, lambda b: b["currency"]["id"] in ("GBP", "USD")),
    "$nin": ({"type": {"$nin": ["creditNote"]}}, lambda b: b["type"] != "creditNote"),
    "$nin of an absent value": ({"number": {"$nin": ["x"]}}, lambda b: True),
    "$not": ({"type": {"$not": "invoice"}}, lambda b: b["type"] != "invoice"),
    "$not of an operator": ({"createdAt": {"$not": {"$lt": "2024-03"}}}, lambda b: not b["createdAt"] < "2024-03"),
    "$and": (
        {"$and": [{"type": "invoice"}, {"sendingFormat": "paper"}]},
        lambda b: b["type"] == "invoice" and b["sendingFormat"] == "paper",
    ),
    "$or": (
        {"$or": [{"currency.id": "GBP"}, {"type": "creditNote"}]},
        lambda b: b["currency"]["id"] == "GBP" or b["type"] == "creditNote",
    ),
    "two members": (
        {"type": "invoice", "currency.id": "USD"},
        lambda b: b["type"] == "invoice" and b["currency"]["id"] == "USD",
    ),
    "two operators": (
        {"createdAt": {"$gte": "2024-02", "$lt": "2024-03"}},
        lambda b: "2024-02" <= b["createdAt"] < "2024-03",
    ),
    "null": ({"period": None}, lambda b: b.get("period") is None),
    "types that do not compare": ({"amountExcludingTax": {"$gt": "0"}}, lambda b: False),
    "true is not one": ({"amountExcludingTax": {"$lt": True}}, lambda b: False),
    "nothing": ({}, lambda b: True),
    "nested": (
        {
            "$or": [
                {"$and": [{"type": {"$not": {"$in": ["creditNote"]}}}, {"$or": [{"currency.id": "USD"}]}]},
                {"$and": [{"customer.name": "ACME Corp"}, {"amountIncludingTax": {"$gt": 50, "$lte": 20000}}]},
            ]
        },
        lambda b: (
            (b["type"] != "creditNote" and b["currency"]["id"] == "USD")
            or (b["customer"]["name"] == "ACME Corp" and 50 < b.get("amountIncludingTax", 0) <= 20000)
        ),
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_selects_what_plain_python_selects(client: httpx.Client, bills: list[Bill], name: str) -> None:
    query, test = OPERATORS[name]
    expected = [bill for bill in bills if test(bill)]
    if name == "$eq a number":
        amount = bills[0]["amountExcludingTax"]
        query = {"amountExcludingTax": {"$eq": amount}}
        expected = [bill for bill in bills if bill.get("amountExcludingTax") == amount]
    answer = client.post(f"{BASE}/search", content=exact_json(query), params={"limit": 1000})
    assert _ids(exact(answer)) == _ids(expected)
    assert answer.headers["X-Total-Count"] == str(len(expected))


def test_the_oracle_of_the_operators_tells_them_apart(bills: list[Bill]) -> None:
    vacuous = {"$nin of an absent value", "nothing", "types that do not compare", "true is not one", "$eq a number"}
    for name in OPERATORS.keys() - vacuous:
        selected = sum(OPERATORS[name][1](bill) for bill in bills)
        assert 0 < selected < len(bills), name


def _query(rng: random.Random, bills: list[Bill], depth: int) -> tuple[Any, Callable[[Bill], bool]]:
    """A random query and what it means."""
    if depth and rng.random() < 0.6:
        parts = [_query(rng, bills, depth - 1) for _ in range(rng.randrange(1, 4))]
        queries, tests = [part[0] for part in parts], [part[1] for part in parts]
        if rng.random() < 0.5:
            return {"$and": queries}, lambda b: all(test(b) for test in tests)
        return {"$or": queries}, lambda b: any(test(b) for test in tests)
    field = rng.choice(FIELDS)
    values = [v for v in (_at(rng.choice(bills), field) for _ in range(3)) if v is not None] or ["x"]
    value, operator = values[0], rng.choice(("$eq", "$neq", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"))
    means: dict[str, Callable[[Any], bool]] = {
        "$eq": lambda v: v == value, "$neq": lambda v: v != value, "$gt": lambda v: v is not None and v > value,
        "$gte": lambda v: v is not None and v >= value, "$lt": lambda v: v is not None and v < value,
        "$lte": lambda v: v is not None and v <= value, "$in": lambda v: v in values, "$nin": lambda v: v not in values,
    }  # fmt: skip
    condition: Any = {operator: values if operator in ("$in", "$nin") else value}
    if rng.random() < 0.25:
        return {field: {"$not": condition}}, lambda b: not means[operator](_at(b, field))
    return {field: condition}, lambda b: means[operator](_at(b, field))


@pytest.mark.parametrize("seed", range(60))
def test_nested_searches_agree_with_plain_python(client: httpx.Client, bills: list[Bill], seed: int) -> None:
    query, test = _query(random.Random(seed), bills, 3)
    answer = client.post(f"{BASE}/search", content=json.dumps(query), params={"limit": 1000, "sort": "-id"})
    expected = sorted(_ids([bill for bill in bills if test(bill)]), reverse=True)
    assert _ids(exact(answer)) == expected, query


def test_another_collection_can_be_searched(client: httpx.Client) -> None:
    found = exact(
        client.post(f"{BASE}/search", params={"collection": "reports"}, content='{"type": {"$neq": "R189-Charges"}}')
    )
    assert [report["id"] for report in found] == ["Site-Inventory+9300856-202402.csv"]
    held = exact(client.post(f"{BASE}/search", params={"collection": "reports"}, content='{"billIds": "1013390"}'))
    assert len(held) <= 1


def _deep(levels: int) -> str:
    return '{"$and": [' * levels + "{}" + "]}" * levels


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        ('{"type": {"$like": "inv%"}}', 28, "$like"), ('{"colour": "red"}', 28, "colour"), ("[1]", 28, "object"),
        ('{"$and": {}}', 28, "$and"), ('{"$or": []}', 28, "$or"), ('{"$not": {"type": "invoice"}}', 28, "$not"),
        ('{"type": {}}', 28, "operator"), ('{"type": {"$in": "invoice"}}', 28, "$in"), ('{"type": ["a"]}', 28, "$eq"),
        ('{"type": {"$gt": {"a": 1}}}', 28, "$gt"), ('{"type": {"$in": [["a"]]}}', 28, "$in"), ('{"type": ', 21, "JSON"),
        ("", 21, "JSON"), (_deep(40), 28, "deeper"), (_deep(100_000), 21, "JSON"),
    ],
)  # fmt: skip
def test_a_bad_search_is_refused_by_name(client: httpx.Client, body: str, code: int, named: str) -> None:
    answer = client.post(f"{BASE}/search", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert named in answer.json()["description"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("offset=-1", "offset"), ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=ten", "limit"),
        ("sort=colour", "colour"), ("sort=", "''"), ("colour=red", "colour"), ("customer=ACME", "customer"),
        ("offset=%D9%A3", "offset"),
    ],
)  # fmt: skip
def test_a_bad_parameter_is_refused_and_never_ignored(client: httpx.Client, query: str, named: str) -> None:
    answer = client.get(f"{BASE}/bills?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, 28)
    assert named in answer.json()["description"]


def test_a_page_past_the_last_is_empty_and_keeps_the_total(client: httpx.Client, bills: list[Bill]) -> None:
    answer = client.get(f"{BASE}/bills", params={"offset": len(bills)})
    assert exact(answer) == []
    assert answer.headers["X-Total-Count"] == str(len(bills))
