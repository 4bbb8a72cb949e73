"""Which month a line's amount belongs to: shares always add up to the line."""

from decimal import Decimal

import ibis
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_pipeline.periods import Period
from billing_pipeline.reconciliation import identities
from billing_pipeline.reconciliation.allocate import allocate

from .month import LINES, day, line, rows, table

D = Decimal


def shares(*lines):
    """line_id → [(month, days, amount)] in month order."""
    found = sorted(rows(allocate(table(LINES, lines))), key=lambda row: row["service_month"])
    spread = {}
    for row in found:
        spread.setdefault(row["line_id"], []).append((row["service_month"], row["days"], row["amount_ht"]))
    return spread


def test_a_line_within_a_month_is_whole_there_whatever_its_decimals():
    assert shares(line("1", "S", "10.123456", days=("03-10", "03-20"))) == {"1": [("2024-03", 11, D("10.123456"))]}


def test_days_come_from_the_line_then_its_charge_month_then_its_invoice():
    found = shares(
        line("days", "S", "1", days=("02-29", "02-29"), charge_month="2024-01"),
        line("month", "S", "1", charge_month="2023-02"),
        line("invoice", "S", "1", period="2024-04"),
        line("half", "S", "1", days=("02-01", None), charge_month="2024-01"),
    )
    assert found == {
        "days": [("2024-02", 1, D(1))],
        "month": [("2023-02", 28, D(1))],
        "invoice": [("2024-04", 30, D(1))],
        "half": [("2024-01", 31, D(1))],
    }


def test_a_quarter_is_three_equal_shares_not_by_days():
    # 100/3: 33.33, then 66.67 - 33.33, then 100 - 66.67.
    assert shares(line("1", "S", "100", days=("01-01", "03-31"))) == {
        "1": [("2024-01", 31, D("33.33")), ("2024-02", 29, D("33.34")), ("2024-03", 31, D("33.33"))]
    }


def test_a_mistyped_year_costs_no_more_than_another(tmp_path):
    connection = ibis.duckdb.connect(temp_directory=str(tmp_path / "spill"), memory_limit="300MB")
    connection.raw_sql("SET max_temp_directory_size = '1MB'")
    lines = [
        line("1", "S", "30", days=("2023-09-15", "2023-10-14")),
        line("2", "S", "30", days=("0001-01-01", "0001-02-28")),
        line("3", "S", "30", days=("9999-11-30", "9999-12-31")),
    ]
    pq.write_table(table(LINES, lines).to_pyarrow(), tmp_path / "lines.parquet")
    found = allocate(connection.read_parquet(tmp_path / "lines.parquet")).to_pyarrow().to_pylist()
    assert sorted((row["service_month"], row["days"], row["amount_ht"]) for row in found) == [
        ("0001-01", 31, D(15)), ("0001-02", 28, D(15)), ("2023-09", 16, D(16)), ("2023-10", 14, D(14)),
        ("9999-11", 1, D("0.94")), ("9999-12", 31, D("29.06")),
    ]  # fmt: skip


def test_broken_months_are_weighed_by_days():
    # 10 days of January and 20 of February: 10.01 x 10/30 = 3.3366…, 3.34; the rest is 6.67.
    assert shares(line("1", "S", "10.01", days=("01-22", "02-20"))) == {
        "1": [("2024-01", 10, D("3.34")), ("2024-02", 20, D("6.67"))]
    }


def test_a_credit_is_spread_as_its_invoice_was():
    charge = shares(line("1", "S", "0.05", days=("01-01", "02-29")), line("2", "S", "-0.05", days=("01-01", "02-29")))
    # Half of 0.05 is a tie: 0.03 and 0.02, and the same below zero.
    assert [amount for *_, amount in charge["1"]] == [D("0.03"), D("0.02")]
    assert [amount for *_, amount in charge["2"]] == [D("-0.03"), D("-0.02")]


def test_the_last_month_keeps_what_is_finer_than_a_cent():
    assert [amount for *_, amount in shares(line("1", "S", "1.000001", days=("01-01", "02-29")))["1"]] == [
        D("0.50"),
        D("0.500001"),
    ]


def test_the_invoicing_amount_is_spread_beside_the_charge_and_stays_null_where_it_is():
    pair = line("1", "S", "200", days=("01-01", "02-29"), invoicing_amount="0.03", invoicing_currency="EUR")
    found = sorted(rows(allocate(table(LINES, [pair]))), key=lambda row: row["service_month"])
    assert [row["invoicing_amount"] for row in found] == [D("0.02"), D("0.01")]
    without = rows(allocate(table(LINES, [line("1", "S", "200", days=("01-01", "02-29"))])))
    assert [row["invoicing_amount"] for row in without] == [None, None]


def test_the_same_line_of_two_collections_keeps_two_sets_of_shares():
    twice = [line("1", "S", "3", days=("01-01", "03-31"), period=period) for period in ("2024-03", "2024-04")]
    assert len(rows(allocate(table(LINES, twice)))) == 6


dates = st.dates(day("2020-01-01"), day("2024-12-31"))
amounts = st.decimals(min_value=-(10**12) + 1, max_value=10**12 - 1, places=6) | st.decimals(-10, 10, places=2)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(amounts, dates, dates), min_size=1, max_size=60))
def test_shares_add_up_to_the_line_and_name_each_of_its_months_once(cases):
    lines = [
        {
            **line(str(i), "S", amount, invoicing_amount=amount, invoicing_currency="USD"),
            "service_from": min(one, other),
            "service_to": max(one, other),
        }
        for i, (amount, one, other) in enumerate(cases)
    ]
    billed = table(LINES, lines)
    allocations = allocate(billed)
    assert rows(identities.allocations_add_up(billed, allocations)) == []
    months = {}
    for row in rows(allocations):
        months.setdefault(row["line_id"], []).append(row)
    for one in lines:
        expected = [str(p) for p in Period.of(one["service_from"]).through(Period.of(one["service_to"]))]
        found = months[one["line_id"]]
        assert sorted(row["service_month"] for row in found) == expected
        assert sum(row["days"] for row in found) == (one["service_to"] - one["service_from"]).days + 1
