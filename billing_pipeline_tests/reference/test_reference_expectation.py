"""Expected amounts, allocation and matching by hand arithmetic."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import pytest

from billing_pipeline.config import MatchKey, Proration
from billing_pipeline.periods import Period
from billing_pipeline_tests.reference.allocation import allocate
from billing_pipeline_tests.reference.exact import half_up
from billing_pipeline_tests.reference.examples import line, service
from billing_pipeline_tests.reference.expectation import active_days, expected_amount, expected_full_month
from billing_pipeline_tests.reference.matching import resolve
from billing_pipeline_tests.reference.records import Price

FEBRUARY, MARCH = Period(2024, 2), Period(2024, 3)
ACTUAL, THIRTIETHS, START, FULL = Proration


@pytest.mark.parametrize(
    ("value", "rounded"), [("0.005", "0.01"), ("-0.005", "-0.01"), ("0.0049", "0"), ("-1.234", "-1.23")]
)
def test_half_a_cent_goes_away_from_zero(value: str, rounded: str) -> None:
    assert half_up(Fraction(value)) == Decimal(rounded)


def test_a_month_of_thirty_one_days_bills_thirty_thirtieths_only_when_whole() -> None:
    begun = service(1, "30.00", activated_on=dt.date(2024, 3, 2))
    assert expected_amount(begun, [], MARCH, THIRTIETHS) == Decimal("30.00")  # 30 days of 1.00
    assert expected_amount(service(1, "30.00"), [], MARCH, THIRTIETHS) == Decimal("30.00")  # not 31
    assert expected_amount(begun, [], MARCH, ACTUAL) == Decimal("29.03")  # 30 × 30 / 31 = 29.032…
    ended = service(1, "30.00", terminated_on=dt.date(2024, 2, 28))
    assert expected_amount(ended, [], FEBRUARY, THIRTIETHS) == Decimal("28.00")


def test_a_price_change_inside_the_month_is_weighted_by_its_days() -> None:
    history = [
        Price("SVC-1", dt.date(2024, 3, 11), Decimal("62.00")),
        Price("SVC-1", dt.date(2023, 1, 1), Decimal("31.00")),
    ]
    # 10 days of 1.00 and 21 of 2.00; THIRTIETHS of a whole month uses the month's days.
    assert expected_amount(service(1, "99.00"), history, MARCH, ACTUAL) == Decimal("52.00")
    assert expected_amount(service(1, "99.00"), history, MARCH, THIRTIETHS) == Decimal("52.00")
    assert expected_amount(service(1, "99.00"), history, MARCH, FULL) == Decimal("31.00")
    ended = service(1, "99.00", terminated_on=dt.date(2024, 3, 30))
    # 10 × 31/30 + 20 × 62/30 = 51.666…
    assert expected_amount(ended, history, MARCH, THIRTIETHS) == Decimal("51.67")


def test_the_inventorys_price_holds_before_the_first_row_of_the_history() -> None:
    history = [Price("SVC-1", dt.date(2024, 3, 11), Decimal("62.00"))]
    assert expected_amount(service(1, "31.00"), history, FEBRUARY, ACTUAL) == Decimal("31.00")


def test_a_termination_month_is_free_under_full_start_month_even_on_its_last_day() -> None:
    ended = service(1, "25.00", terminated_on=dt.date(2024, 3, 31))
    assert expected_amount(ended, [], MARCH, START) == Decimal("0")
    assert expected_full_month(ended, [], MARCH, START) == Decimal("25.00")
    brief = service(1, "25.00", activated_on=dt.date(2024, 3, 5), terminated_on=dt.date(2024, 3, 6))
    assert expected_amount(brief, [], MARCH, START) == Decimal("25.00")
    assert expected_amount(brief, [], MARCH, FULL) == Decimal("25.00")
    assert expected_amount(brief, [], MARCH, ACTUAL) == Decimal("1.61")  # 2 × 25 / 31 = 1.6129…


def test_the_discount_applies_before_the_one_rounding() -> None:
    discounted = service(1, "33.33", discount_percent=Decimal("12.5"), activated_on=dt.date(2024, 3, 11))
    # 33.33 × 21 / 31 × 0.875 = 19.7563…; rounding first would give 22.58 × 0.875 = 19.7575.
    assert expected_amount(discounted, [], MARCH, ACTUAL) == Decimal("19.76")


def test_the_first_and_last_day_of_service_are_days_of_service() -> None:
    brief = service(1, activated_on=dt.date(2024, 3, 31), terminated_on=dt.date(2024, 3, 31))
    assert active_days(brief, MARCH) == [dt.date(2024, 3, 31)]
    assert active_days(brief, FEBRUARY) == active_days(brief, Period(2024, 4)) == []
    assert expected_amount(brief, [], FEBRUARY, FULL) == Decimal("0")


def test_a_quarter_is_three_equal_shares_and_adds_up() -> None:
    quarter = line("100.00", service_from=dt.date(2024, 1, 1), service_to=dt.date(2024, 3, 31))
    # Up to January 33.33, up to February 66.67 (66.666…), the rest in March.
    assert [share.amount for share in allocate(quarter)] == [Decimal("33.33"), Decimal("33.34"), Decimal("33.33")]
    assert [share.days for share in allocate(quarter)] == [31, 29, 31]


def test_a_broken_span_is_shared_by_days_and_its_invoicing_amount_with_it() -> None:
    span = line(
        "-10.00", service_from=dt.date(2024, 2, 20), service_to=dt.date(2024, 3, 5), invoicing_amount=Decimal("1.001")
    )
    # 10 of 15 days: -6.666… → -6.67; 1.001 × 10 / 15 = 0.667… → 0.67 and the rest.
    assert [share.amount for share in allocate(span)] == [Decimal("-6.67"), Decimal("-3.33")]
    assert [share.invoicing_amount for share in allocate(span)] == [Decimal("0.67"), Decimal("0.331")]


def test_a_line_without_days_belongs_to_its_charge_month_else_to_its_invoice() -> None:
    undated = line("10.00", service_from=None, service_to=None, charge_month="2024-01")
    assert [str(share.month) for share in allocate(undated)] == ["2024-01"]
    nothing = line("10.00", service_from=None, service_to=None, charge_month=None)
    assert [str(share.month) for share in allocate(nothing)] == ["2024-03"]


def test_the_first_tier_with_a_hit_decides_and_no_later_one_is_asked() -> None:
    services = [service(1, external_reference="X"), service(2, external_reference="X"), service(3, serial_number="S")]
    both = line("1", service_id="SVC-UNKNOWN", external_reference=" x", serial_number="s")
    found = resolve(both, services, MARCH, tuple(MatchKey))
    assert (found.service, found.tier, found.is_ambiguous) == (None, "external_reference", True)
    reordered = resolve(both, services, MARCH, (MatchKey.SERIAL_NUMBER, MatchKey.EXTERNAL_REFERENCE))
    assert reordered.service == services[2]


def test_of_several_the_only_active_one_is_meant() -> None:
    services = [
        service(1, external_reference="X", terminated_on=dt.date(2024, 2, 29)),
        service(2, external_reference="X"),
    ]
    mine = line("1", service_id=None, external_reference="X")
    assert resolve(mine, services, MARCH, tuple(MatchKey)).service == services[1]
    assert resolve(mine, services, FEBRUARY, tuple(MatchKey)).is_ambiguous
    assert resolve(mine, services, Period(2020, 1), tuple(MatchKey)).is_ambiguous


def test_a_building_never_names_a_service() -> None:
    one = service(1, external_reference="IMB/33063/C/025A")
    stated = line("1", service_id=None, site_id="IMB/33063/C/025A", description="IMB/33063/C/025A")
    found = resolve(stated, [one], MARCH, tuple(MatchKey))
    assert (found.service, found.tier) == (None, None)
