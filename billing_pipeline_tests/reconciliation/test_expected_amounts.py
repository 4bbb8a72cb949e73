"""What a month costs under each convention, with price changes and discounts. March 2024 has 31 days, February 29."""

from decimal import Decimal

import ibis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_pipeline.config import Proration
from billing_pipeline.money import divide_half_up, round_ratio, whole_millionths
from billing_pipeline.periods import Period
from billing_pipeline.reconciliation.expect import expected

from .month import CONTRACTS, MARCH, PRICES, day, rows, service, table

D = Decimal
ACTUAL, THIRTIETHS, START, FULL = Proration


def cost(contracts, convention, prices=(), period=MARCH):
    """service_id → (expected_amount, active_days)."""
    history = table(PRICES, [{"service_id": s, "valid_from": day(d), "monthly_price_ht": p} for s, d, p in prices])
    found = rows(expected(table(CONTRACTS, contracts), history, period, convention))
    return {row["service_id"]: (row["expected_amount"], row["active_days"]) for row in found}


CONTRACTS_IN_MARCH = [
    service("all", "31"),
    service("from 22", "31", since="2024-03-22"),
    service("to 10", "31", until="2024-03-10"),
    service("to 31", "31", until="2024-03-31"),
    service("from 1", "31", since="2024-03-01"),
    service("11 to 20", "31", since="2024-03-11", until="2024-03-20"),
    service("one day", "31", since="2024-03-31", until="2024-03-31"),
    service("ended", "31", until="2024-02-29"),
    service("later", "31", since="2024-04-01"),
]


@pytest.mark.parametrize(
    ("convention", "amounts"),
    [
        # A day costs 31 / 31 = 1.00.
        (ACTUAL, ["31", "10", "10", "31", "31", "10", "1", "0", "0"]),
        # A day costs 31 / 30 = 1.0333…, a whole month the price.
        (THIRTIETHS, ["31", "10.33", "10.33", "31", "31", "10.33", "1.03", "0", "0"]),
        # The last month is free, even to its last day, unless it is the first too.
        (START, ["31", "31", "0", "0", "31", "31", "31", "0", "0"]),
        (FULL, ["31", "31", "31", "31", "31", "31", "31", "0", "0"]),
    ],
)
def test_a_partial_month_costs_what_the_convention_says(convention, amounts):
    found = cost(CONTRACTS_IN_MARCH, convention)
    assert [found[c["service_id"]][0] for c in CONTRACTS_IN_MARCH] == [D(a) for a in amounts]
    assert [found[c["service_id"]][1] for c in CONTRACTS_IN_MARCH] == [31, 10, 10, 31, 31, 10, 1, 0, 0]


@pytest.mark.parametrize(
    ("convention", "amounts"),
    [
        # From the 11th 62 instead of 31: 10 x 1 + 21 x 2 = 52; active from the 2nd 51; to the 11th 10 + 2 = 12.
        (ACTUAL, ["52", "51", "12"]),
        # All March by its days, 52. Else by thirtieths: (9 x 31 + 21 x 62) / 30 = 52.70; (310 + 62) / 30 = 12.40.
        (THIRTIETHS, ["52", "52.70", "12.40"]),
        # The price of the first active day: 31 on the 1st and on the 2nd.
        (START, ["31", "31", "0"]),
        (FULL, ["31", "31", "31"]),
    ],
)
def test_a_price_that_changes_inside_the_month(convention, amounts):
    contracts = [
        service("all", "31"),
        service("late", "31", since="2024-03-02"),
        service("short", "31", until="2024-03-11"),
    ]
    prices = [(c["service_id"], "03-11", "62") for c in contracts]
    assert [cost(contracts, convention, prices)[c["service_id"]][0] for c in contracts] == [D(a) for a in amounts]


def test_the_history_prices_each_day_and_the_inventory_those_before_it():
    contracts = [service(name, "10") for name in ("before", "since", "next", "other", "thrice")]
    prices = [
        ("before", "04-01", "99"),
        ("since", "2023-05-01", "99"),
        ("since", "2023-06-01", "20"),
        ("next", "03-01", "30"),
        ("thrice", "03-31", "310"),
        ("thrice", "03-02", "31"),
        ("thrice", "2024-02-01", "62"),
    ]
    found = {name: amount for name, (amount, _) in cost(contracts, ACTUAL, prices).items()}
    # thrice: one day at 62/31, 29 days at 31/31, one at 310/31 = 2 + 29 + 10.
    assert found == {"before": D(10), "since": D(20), "next": D(30), "other": D(10), "thrice": D(41)}


def test_the_first_active_days_price_counts_not_the_months():
    contracts = [service("S", "10", since="2024-03-12")]
    assert cost(contracts, FULL, [("S", "03-05", "20"), ("S", "03-20", "30")])["S"][0] == D(20)


def test_a_discount_applies_before_the_one_rounding():
    # 10 of 31 days of 10.05 less 33.333333 %: 3.241935… x 0.66666667 = 2.16129…, 2.16.
    contracts = [
        service("partial", "10.05", discount="33.333333", since="2024-03-22"),
        service("tie", "0.05", discount="10"),
        service("free", "10", discount="100"),
        service("third", "1.005"),
    ]
    found = {name: amount for name, (amount, _) in cost(contracts, ACTUAL).items()}
    # 0.05 less 10 % is 0.045, a tie, 0.05; 1.005 is a tie, 1.01.
    assert found == {"partial": D("2.16"), "tie": D("0.05"), "free": D(0), "third": D("1.01")}


def test_a_leap_february_has_29_days():
    assert cost([service("S", "29", since="2024-02-29")], ACTUAL, period=Period(2024, 2))["S"] == (D(1), 1)
    assert cost([service("S", "29")], THIRTIETHS, period=Period(2024, 2))["S"] == (D(29), 29)


money = st.decimals(min_value=-(10**12) + 1, max_value=10**12 - 1, places=6)
cents = st.decimals(min_value=-1000, max_value=1000, places=3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(money | cents, st.integers(1, 3720)), min_size=1, max_size=200))
def test_a_rounded_ratio_is_the_exact_one_to_the_cent(pairs):
    schema = {"amount": "decimal(18,6)", "days": "int64"}
    cases = ibis.memtable([{"amount": a, "days": n} for a, n in pairs], schema=schema)
    found = rows(cases.mutate(got=round_ratio(cases.amount, cases.days)))
    assert [row["got"] for row in found] == [divide_half_up(row["amount"], row["days"]) for row in found]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(money, st.integers(1, 31), st.decimals(0, 100, places=6)), min_size=1, max_size=100))
def test_the_widest_priced_month_does_not_overflow(triples):
    schema = {"amount": "decimal(18,6)", "days": "int64", "factor": "decimal(18,6)"}
    cases = ibis.memtable([{"amount": a, "days": n, "factor": f} for a, n, f in triples], schema=schema)
    priced = whole_millionths(cases.amount.cast("decimal(38,6)") * cases.days) * whole_millionths(cases.factor)
    found = rows(cases.mutate(got=round_ratio(priced, 31 * 10**14 + cases.days * 0)))
    for row in found:
        assert row["got"] == divide_half_up(row["amount"] * row["days"] * row["factor"], 3100)


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected_amount"),
    [
        ("0.005", 1, "0.01"),
        ("-0.005", 1, "-0.01"),
        ("0.004999", 1, "0"),
        ("1", 3, "0.33"),
        ("-2", 3, "-0.67"),
        ("0.01", 2, "0.01"),
        ("-0.01", 2, "-0.01"),
        ("999999999999.99", 1, "999999999999.99"),
        ("5", 0, None),
    ],
)
def test_ties_leave_zero(numerator, denominator, expected_amount):
    schema = {"amount": "decimal(18,6)", "days": "int64"}
    case = ibis.memtable([{"amount": D(numerator), "days": denominator}], schema=schema)
    found = rows(case.select(got=round_ratio(case.amount, case.days)))[0]["got"]
    assert found == (None if expected_amount is None else D(expected_amount))
