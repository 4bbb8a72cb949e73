"""What a file's name says of its month and its version."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_pipeline.errors import RefusedFile
from billing_pipeline.periods import Period
from billing_pipeline.r189.naming import file_period, natural_key, period_in_name, stem

MARCH = Period(2024, 3)


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("R189_AXIONE_202403.csv", MARCH),
        ("R189-2024-03.csv.gz", MARCH),
        ("202403_2024-03.csv", MARCH),
        ("R189-Charges+9300856.csv", None),
        ("20240315.csv", None),
        ("2024-03-15.csv", MARCH),
        ("x12024-03.csv", None),
        ("2024031.csv", None),
        ("202413.csv", None),
        ("189912.csv", None),
        ("210001.csv", None),
        ("2024_03.csv", None),
        ("1990-2024-03.csv", MARCH),
        ("202401/charges.csv", None),
    ],
)
def test_a_month_in_the_name_touches_no_other_digit(name: str, period: Period | None):
    assert period_in_name(name) == period


def test_two_months_in_one_name_are_refused_by_name():
    with pytest.raises(RefusedFile, match=r"x_202402_2024-03\.csv: .*2024-02 and 2024-03"):
        period_in_name("x_202402_2024-03.csv")


def test_the_tenth_version_comes_after_the_second():
    stems = ["a_v10", "a_v2", "a", "b_1", "a_v2_bis", "A_v3"]
    assert sorted(stems, key=natural_key) == ["a", "a_v2", "a_v2_bis", "A_v3", "a_v10", "b_1"]


@given(st.text(st.sampled_from("aA01_2é"), max_size=6), st.text(st.sampled_from("aA01_2é"), max_size=6))
def test_two_stems_never_tie_and_always_compare(one: str, other: str):
    assert (natural_key(one) == natural_key(other)) == (one == other)
    assert (natural_key(one) < natural_key(other)) != (natural_key(one) >= natural_key(other))


def test_the_stem_of_a_zipped_file_is_that_of_the_plain_one():
    assert [stem(name) for name in ("x.csv", "in/x.csv.gz", "X.CSV.GZ", "x.y.csv")] == ["x", "x", "X", "x.y"]


@pytest.mark.parametrize(
    ("name", "months", "expected"),
    [
        ("x_202403.csv", {"2024-03": 5}, (MARCH, False)),
        ("x_202403.csv", {"2024-02": 5}, (MARCH, True)),
        ("x_202403.csv", {"2024-02": 5, "2024-03": 1}, (MARCH, False)),
        ("x_202403.csv", {}, (MARCH, False)),
        ("x.csv", {"2024-03": 5}, (MARCH, False)),
        ("x.csv", {"2024-03": 5, "2024-02": 1}, (None, False)),
        ("x.csv", {"2024-03": 5, "2024-02": 0, "": 7}, (MARCH, False)),
        ("x.csv", {}, (None, False)),
    ],
)
def test_the_name_counts_over_the_rows_and_the_difference_is_told(name, months, expected):
    assert file_period(name, months) == expected
