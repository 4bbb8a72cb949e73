"""What one cell means under a style; the bulk cast must mean the same."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_pipeline.config import ChargeMonthFormat, DateFormat
from billing_pipeline.r189 import number_styles as numbers
from billing_pipeline.r189.date_styles import read_date, read_month

MONEY = pa.decimal128(18, 6)


@pytest.mark.parametrize(
    ("cell", "point", "comma"),
    [
        ("12", "12", "12"),
        ("12.5", "12.5", None),
        ("12,5", None, "12.5"),
        ("1,234", "1234", "1.234"),
        ("0,123", None, "0.123"),
        ("1,234.56", "1234.56", None),
        ("1,234,567", "1234567", None),
        ("1,23,456", None, None),
        ("1 234,56", None, "1234.56"),
        ("1\u00a0234,56", None, "1234.56"),
        ("1\u202f234\u202f567", None, "1234567"),
        ("1 234.56", None, None),
        ("12 34,5", None, None),
        ("-5.00", "-5.00", None),
        ("5,00-", None, "-5.00"),
        ("5+", "5", "5"),
        ("- 5", "-5", "-5"),
        ("(5.00)", "-5.00", None),
        ("(1 000,00)", None, "-1000.00"),
        ("(-5)", None, None),
        ("-5-", None, None),
        ("(5", None, None),
        (".5", "0.5", None),
        ("5.", None, None),
        ("1e3", None, None),
        ("n/a", None, None),
        ("٣", None, None),
        ("0000000000000012", "12", "12"),
    ],
)
def test_a_number_means_what_its_style_says_and_nothing_else(cell: str, point: str | None, comma: str | None):
    for style, expected in ((".", point), (",", comma)):
        value, why = numbers.read_number(cell, style)
        assert value == (None if expected is None else Decimal(expected))
        assert (why == numbers.READ) == (expected is not None)


def test_digits_beyond_the_column_are_told_apart_from_no_number():
    assert numbers.read_number("999999999999.999999", ".") == (Decimal("999999999999.999999"), numbers.READ)
    assert numbers.read_number("1000000000000", ".") == (None, numbers.TOO_LARGE)
    assert numbers.read_number("1.0000000", ".") == (None, numbers.TOO_FINE)
    assert numbers.read_number("1.123456789012", ".", numbers.RATE_DECIMALS)[0] == Decimal("1.123456789012")
    assert numbers.read_number("9" * 100_000, ".") == (None, numbers.TOO_LARGE)


NUMBER_LIKE = st.one_of(
    st.text(st.sampled_from("0123456789.,-+() \u00a0\u202f"), max_size=12),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**13), max_value=10**13).map(
        lambda value: f"{value:,}"
    ),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**7), max_value=10**7).map(
        lambda value: f"{value:,}".replace(",", "\u202f").replace(".", ",")
    ),
    st.from_regex(r"[+-]?[0-9]{1,14}([.,][0-9]{1,8})?", fullmatch=True),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(NUMBER_LIKE.map(str.strip), max_size=8), st.sampled_from(numbers.STYLES))
def test_the_bulk_cast_gives_every_cell_the_value_of_the_single_reading(cells: list[str], style: str):
    values, why = numbers.cast_numbers(pa.array(cells, pa.string()), style, MONEY, numbers.MONEY_DECIMALS)
    expected = [(None, numbers.READ) if cell == "" else numbers.read_number(cell, style) for cell in cells]
    assert list(zip(values.to_pylist(), why.tolist(), strict=True)) == expected


@pytest.mark.parametrize(
    ("cell", "readings"),
    [
        ("2024-02-29", {DateFormat.ISO: (2024, 2, 29)}),
        ("2023-02-29", {}),
        ("13/02/2024", {DateFormat.DAY_FIRST: (2024, 2, 13)}),
        ("02/13/2024", {DateFormat.MONTH_FIRST: (2024, 2, 13)}),
        ("05/04/2024", {DateFormat.DAY_FIRST: (2024, 4, 5), DateFormat.MONTH_FIRST: (2024, 5, 4)}),
        ("30/02/2024", {}),
        ("01-mar-2024", {DateFormat.DAY_MONTH_NAME: (2024, 3, 1)}),
        ("01-avr-2024", {}),
        ("20240301", {DateFormat.COMPACT: (2024, 3, 1)}),
        ("0000-01-01", {}),
        ("1/2/2024", {}),
    ],
)
def test_a_date_that_does_not_exist_is_not_moved_to_one_that_does(
    cell: str, readings: dict[DateFormat, tuple[int, ...]]
):
    found = {style: day for style in DateFormat if (day := read_date(cell, style)) is not None}
    assert found == {style: dt.date(*parts) for style, parts in readings.items()}


@pytest.mark.parametrize(
    ("cell", "style", "month"),
    [
        ("2024-03", ChargeMonthFormat.ISO, "2024-03"),
        ("202403", ChargeMonthFormat.COMPACT, "2024-03"),
        ("03/2024", ChargeMonthFormat.MONTH_FIRST, "2024-03"),
        ("MAR-24", ChargeMonthFormat.MONTH_NAME, "2024-03"),
        ("2024-13", None, None),
        ("0000-01", None, None),
    ],
)
def test_a_charge_month_has_one_style_and_one_month(cell: str, style: ChargeMonthFormat | None, month: str | None):
    found = {one: value for one in ChargeMonthFormat if (value := read_month(cell, one)) is not None}
    assert found == ({} if style is None else {style: month})
