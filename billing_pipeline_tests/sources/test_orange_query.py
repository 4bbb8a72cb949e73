"""Every operator of the guide, spelled as the guide spells it, and understood by the sandbox's own reading of it."""

import datetime as dt
from contextlib import closing
from decimal import Decimal

import pytest

from billing_pipeline.sources.orange_query import all_of, any_of, field
from billing_pipeline_tests.sources.shelf import orange, reseller, sandbox


@pytest.mark.parametrize(
    ("query", "document"),
    [
        (
            any_of(field("currency.id").equals("GBP"), field("currency.id").equals("JPY")),
            {"$or": [{"currency.id": {"$eq": "GBP"}}, {"currency.id": {"$eq": "JPY"}}]},
        ),
        (
            all_of(field("type").equals("invoice"), field("sendingFormat").equals("paper")),
            {"$and": [{"type": {"$eq": "invoice"}}, {"sendingFormat": {"$eq": "paper"}}]},
        ),
        (field("type").is_not("invoice"), {"type": {"$not": "invoice"}}),
        (field("type").differs("invoice"), {"type": {"$neq": "invoice"}}),
        (field("n").above(1), {"n": {"$gt": 1}}),
        (field("n").at_least(1), {"n": {"$gte": 1}}),
        (field("n").below(Decimal("1.50")), {"n": {"$lt": Decimal("1.50")}}),
        (field("n").at_most(1), {"n": {"$lte": 1}}),
        (field("type").is_in(["a", "b"]), {"type": {"$in": ["a", "b"]}}),
        (field("type").not_in(["creditNote"]), {"type": {"$nin": ["creditNote"]}}),
        (
            field("createdAt").at_least(dt.datetime(2024, 4, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2)))),
            {"createdAt": {"$gte": "2024-04-01T00:00:00.000Z"}},
        ),
    ],
)
def test_an_operator_is_written_as_the_guide_writes_it(query, document):
    assert query.document == document


def test_joins_of_one_kind_do_not_nest():
    one, two, three = (field("a").equals(number) for number in range(3))
    assert len((one & two & three).document["$and"]) == 3
    assert (one & (two | three)).document == {"$and": [one.document, {"$or": [two.document, three.document]}]}


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: field("$or"),
        lambda: field(""),
        lambda: field("a").is_in("abc"),
        lambda: field("a").equals(1.5),
        lambda: field("a").equals(dt.datetime(2024, 1, 1)),  # noqa: DTZ001
        lambda: all_of(),
    ],
)
def test_a_query_that_would_mean_something_else_is_not_made(mistake):
    with pytest.raises(ValueError):  # noqa: PT011
        mistake()


def test_a_search_finds_what_the_listing_holds():
    credits = field("type").equals("creditNote")
    with sandbox() as (url, _), closing(orange(url)) as source:
        api = source._api
        bills = api.listing("bills").records
        found = api.search(credits | field("period").is_in(["2024-02"])).records
        rest = api.search(field("type").not_in(["creditNote"]) & field("period").differs("2024-02"))
        accounts = api.listing("billingAccounts", filters={"customer.name": "ACME Corp"})
        status = api.status()[1]
    wanted = {one for one, bill in bills.items() if bill["type"] == "creditNote" or bill.get("period") == "2024-02"}
    assert found.keys() == wanted
    assert rest.gaps == []
    assert not wanted & rest.records.keys()
    assert len(bills) == sum(len(reseller().invoices["ORANGE", period]) for period in reseller().periods)
    assert [one["customer"]["name"] for one in accounts.records.values()] == ["ACME Corp"]
    assert status == {"status": "UP"}
