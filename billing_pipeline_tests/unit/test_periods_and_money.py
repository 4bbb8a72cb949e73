"""When a month ends and how a cent is rounded, against slower and more obvious ways to say the same."""

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_pipeline.exact_json import exact_json, plain_decimal
from billing_pipeline.money import divide_half_up, french_amount, round_half_up
from billing_pipeline.periods import PARIS, Period, last_complete_period

amounts = st.decimals(min_value=-(10**12), max_value=10**12, places=6, allow_nan=False, allow_infinity=False)


@given(st.dates(min_value=dt.date(1990, 1, 1), max_value=dt.date(2100, 12, 31)))
def test_a_month_ends_the_day_before_the_next_one_begins(day):
    period = Period.of(day)
    assert period.last_day + dt.timedelta(days=1) == period.shift(1).first_day
    assert period.days == (period.shift(1).first_day - period.first_day).days
    assert period.first_day <= day <= period.last_day
    assert Period.parse(str(period)) == period


@given(st.integers(-600, 600), st.integers(-600, 600))
def test_months_add_up(one, other):
    start = Period(2024, 3)
    assert start.shift(one).shift(other) == start.shift(one + other)


@pytest.mark.parametrize(
    "text", ["2024-13", "2024-00", "2024-3", "24-03", "2024/03", " 2024-03", "2024-03\n", "٢٠٢٤-03", "0000-01", ""]
)
def test_what_is_not_a_month_is_refused(text):
    with pytest.raises(ValueError, match="is not a period"):
        Period.parse(text)


def test_a_month_is_over_when_it_is_over_in_paris_not_in_london():
    just_after_midnight_in_paris = dt.datetime(2024, 3, 31, 22, 30, tzinfo=dt.UTC)
    assert just_after_midnight_in_paris.astimezone(PARIS).date() == dt.date(2024, 4, 1)
    assert last_complete_period(just_after_midnight_in_paris) == Period(2024, 3)
    assert last_complete_period(dt.datetime(2024, 3, 31, 21, 30, tzinfo=dt.UTC)) == Period(2024, 2)


@given(amounts)
def test_rounding_is_half_up_away_from_zero(amount):
    with localcontext() as context:
        context.prec = 60
        assert round_half_up(amount) == amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    assert round_half_up(-amount) == -round_half_up(amount)


@given(amounts, st.integers(1, 10**9))
def test_a_division_is_rounded_once_and_exactly(numerator, denominator):
    cents = divide_half_up(numerator, denominator)
    exact = Fraction(numerator) / denominator
    assert abs(Fraction(cents) - exact) <= Fraction(1, 200)
    if abs(Fraction(cents) - exact) == Fraction(1, 200):
        assert abs(Fraction(cents)) > abs(exact)
    assert cents == round_half_up(cents)


@pytest.mark.parametrize(
    ("numerator", "denominator", "cents"),
    [
        ("0.01", 2, "0.01"),
        ("-0.01", 2, "-0.01"),
        ("0.005", 1, "0.01"),
        ("1", 3, "0.33"),
        ("2", 3, "0.67"),
        ("1", -3, "-0.33"),
    ],
)
def test_ties_go_away_from_zero(numerator, denominator, cents):
    assert divide_half_up(Decimal(numerator), denominator) == Decimal(cents)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("3.5", "EUR", "3,50 €"),
        ("-3.500000", "EUR", "3,50 €"),
        ("1234567.891", "EUR", "1\u202f234\u202f567,891 €"),
        ("12", "USD", "12,00 USD"),
        ("0", "EUR", "0,00 €"),
    ],
)
def test_an_amount_is_written_as_the_french_write_it(amount, currency, text):
    assert french_amount(Decimal(amount), currency) == text


@given(amounts)
def test_json_numbers_are_the_decimals_they_were(amount):
    text = exact_json({"amount": amount})
    digits = text.removeprefix('{"amount": ').removesuffix("}")
    assert Decimal(digits) == amount
    assert len(digits.partition(".")[2]) >= 2
    assert plain_decimal(amount) == digits


def test_a_float_has_no_place_in_exact_json():
    with pytest.raises(TypeError):
        exact_json({"amount": 0.1})
