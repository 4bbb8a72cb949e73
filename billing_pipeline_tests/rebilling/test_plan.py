"""What a customer is to be invoiced: cents that come out of a calculator, and everybody who is left out is named."""

import datetime as dt
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_pipeline.errors import InventoryError
from billing_pipeline.normalize.customers import read_customers
from billing_pipeline.periods import Period
from billing_pipeline.rebilling.documents import accepted_ttc, lines_body, timeline_body
from billing_pipeline.rebilling.plan import PlannedInvoice, ResoldService, plan_invoices
from billing_pipeline.steps.rebill import costs_of
from billing_pipeline_tests.rebilling.world import CUSTOMERS, PERIOD, service

HEADER = "customer_id,invoicing_customer_id,name,vat_code,payment_delay,locale\n"
ROW = "CUST-A,org-a,Garage,FR_2000,thirty_days,fr\n"


def planned(*services, **options):
    given_options = {"not_evaluated": (), "costs": {}, **options}
    return plan_invoices(services, CUSTOMERS, PERIOD, **given_options)


def only(*services, **options) -> PlannedInvoice:
    plans, refused = planned(*services, **options)
    assert refused == []
    (plan,) = plans
    return plan


@pytest.mark.parametrize(
    ("price", "first", "last", "cents"),
    [
        ("25.00", "2023-01-01", None, 2500),
        ("25.00", "2024-03-31", None, 81),  # 25 / 31 = 0.8064…
        ("31.00", "2023-01-01", "2024-03-04", 400),
        ("0.31", "2024-03-17", None, 15),  # 15 days of 31: 0.15
        ("1.55", "2024-03-31", None, 5),  # exactly 0.05
        ("0.155", "2024-03-31", None, 1),  # exactly 0.005: away from zero
        ("12.345678", "2023-01-01", None, 1235),
        ("0.00", "2023-01-01", None, 0),
    ],
)
def test_a_partial_month_is_charged_for_its_days_in_cents(price: str, first: str, last: str | None, cents: int) -> None:
    ends = None if last is None else dt.date.fromisoformat(last)
    plan = only(service(1, "CUST-A", price, activated_on=dt.date.fromisoformat(first), terminated_on=ends))
    assert [line.unit_price for line in plan.lines] == [cents]


@given(st.integers(0, 10**9), st.integers(1, 31))
def test_proration_is_the_exact_fraction_rounded_half_up(millionths: int, days: int) -> None:
    price = Decimal(millionths).scaleb(-6)
    first = PERIOD.last_day - dt.timedelta(days=days - 1)
    (line,) = only(service(1, "CUST-A", str(price), activated_on=first)).lines
    exact = millionths * days  # over 31 x 10 000 for cents
    assert line.unit_price == (2 * exact + 310_000) // 620_000


def test_lines_stand_in_service_id_order_and_inactive_or_unpriced_services_have_none() -> None:
    plan = only(
        service(9, "CUST-A"),
        service(2, "CUST-A"),
        service(3, "CUST-A", activated_on=dt.date(2024, 4, 1)),
        service(4, "CUST-A", terminated_on=dt.date(2024, 2, 29)),
        service(5, "CUST-A", resale_price_ht=None),
    )
    assert [line.service_id for line in plan.lines] == ["SVC-002", "SVC-009"]


def test_a_customer_with_two_currencies_is_refused_by_name_and_the_others_are_not() -> None:
    plans, (refused,) = planned(service(1, "CUST-A"), service(2, "CUST-A", currency="USD"), service(3, "CUST-B"))
    assert [plan.customer.customer_id for plan in plans] == ["CUST-B"]
    assert (refused.customer_id, "EUR and USD" in refused.reason) == ("CUST-A", True)


def test_an_operator_without_a_verdict_keeps_every_customer_of_its_waiting() -> None:
    """Also through a service that has no resale price: its cost is the customer's all the same."""
    services = (
        service(1, "CUST-A"),
        service(2, "CUST-A", operator_code="SFR", resale_price_ht=None),
        service(3, "CUST-B"),
    )
    plans, (refused,) = planned(*services, not_evaluated={"SFR"})
    assert [plan.customer.customer_id for plan in plans] == ["CUST-B"]
    assert refused.customer_id == "CUST-A"
    assert "SFR is not evaluated for 2024-03" in refused.reason


def test_without_the_cost_check_costs_are_unknown_and_the_record_says_so() -> None:
    costs = {("ORANGE", "SVC-001"): (Decimal("10.00"), "EUR")}
    waiting = (service(1, "CUST-A"), service(2, "CUST-A", operator_code="SFR"))
    plan = only(*waiting, not_evaluated={"SFR"}, costs=costs, cost_check=False)
    assert [line.cost_ht for line in plan.lines] == [None, None]
    assert (plan.cost_checked, plan.note) == (False, "prepared without cost check: SFR not evaluated")
    checked = only(service(1, "CUST-A"), costs=costs, cost_check=False)
    assert ([line.cost_ht for line in checked.lines], checked.cost_checked) == (["10.00"], True)


def test_a_cost_in_another_currency_is_no_cost() -> None:
    plan = only(service(1, "CUST-A"), costs={("ORANGE", "SVC-001"): (Decimal("10.00"), "USD")})
    assert plan.lines[0].cost_ht is None


@pytest.mark.parametrize(
    ("services", "customer_id", "told"),
    [
        ((service(1, "CUST-Z"),), "CUST-Z", "customers file"),
        ((service(1, ""),), "", "SVC-001"),
        ((service(1, "CUST-A"), service(1, "CUST-A", operator_code="SFR")), "CUST-A", "several operators"),
    ],
)
def test_whoever_is_left_out_is_named_with_the_remedy(services, customer_id: str, told: str) -> None:
    plans, (refused,) = planned(*services)
    assert plans == []
    assert refused.customer_id == customer_id
    assert told in refused.reason


def test_the_plan_comes_back_from_its_event_as_it_was() -> None:
    stated = service(1, "CUST-A", "7.77", activated_on=dt.date(2024, 3, 9), description="Accès «1»\0")
    plan = only(ResoldService.of({**asdict(stated), "service_id": "SVC\0"}))
    again = PlannedInvoice.of(plan.content())
    assert again == plan
    assert again.digest == plan.digest
    # PostgreSQL would refuse what the journal has taken, and the month could not be invoiced any more.
    assert (again.lines[0].description, again.lines[0].service_id) == ("Accès «1»␀", "SVC␀")


def test_a_line_is_a_unit_of_service_delivery_with_the_customers_vat_code() -> None:
    (line,) = lines_body(only(service(1, "CUST-A", "31.00", activated_on=dt.date(2024, 3, 31))))["lines"]
    assert line == {
        "unitPrice": 100, "quantity": 1, "quantityUnit": "unit", "designation": "Accès 1", "reference": "SVC-001",
        "type": "service_delivery", "vatCode": "FR_2000", "description": "Du 31/03/2024 au 31/03/2024 (1 jour sur 31)",
    }  # fmt: skip


@pytest.mark.parametrize(("day", "seconds"), [("2024-04-08", 1712527200), ("2024-01-15", 1705273200)])
def test_an_invoice_is_emitted_at_midnight_in_paris_summer_and_winter(day: str, seconds: int) -> None:
    body = timeline_body(only(service(1, "CUST-A")), dt.date.fromisoformat(day))
    assert body == {"emittedAt": seconds, "paymentDelay": "thirty_days"}


def test_tax_is_accepted_rounded_per_line_and_per_rate() -> None:
    # 3 x 0.03 at 20 %: 0.006 → 0.01 each, 0.018 → 0.02 together.
    plan = only(*(service(number, "CUST-A", "0.03") for number in range(3)))
    assert accepted_ttc(plan) == {12, 11}


def _customers(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "customers.csv"
    path.write_bytes(text.encode())
    return path


def test_a_customers_file_is_read(tmp_path: Path) -> None:
    customers, warnings = read_customers(
        _customers(tmp_path, "\ufeff" + HEADER.replace("\n", ",phone\n") + ROW.replace("\n", ",06\n"))
    )
    assert customers["CUST-A"].invoicing_customer_id == "org-a"
    assert len(warnings) == 1
    assert "phone" in warnings[0]


def test_a_customers_name_may_hold_a_no_break_space(tmp_path: Path) -> None:
    customers, _ = read_customers(_customers(tmp_path, HEADER + ROW.replace("Garage", "Garage n°\u00a05")))
    assert customers["CUST-A"].name.startswith("Garage n°\u00a05")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEADER + ROW + ROW.replace("org-a", "org-b"), "row 2, column customer_id: stands twice"),
        (HEADER + ROW + ROW.replace("CUST-A", "CUST-B"), "row 2, column invoicing_customer_id: is that of another"),
        (HEADER + ROW.replace("FR_2000", "20"), "row 1, column vat_code: is none of FR_210"),
        (HEADER + ROW.replace("thirty_days", "other"), "row 1, column payment_delay"),
        (HEADER + ROW.replace(",fr", ",FR"), "row 1, column locale"),
        (HEADER + ROW.replace("org-a", "../x"), "row 1, column invoicing_customer_id: is not an id"),
        (HEADER + ROW.replace("Garage", ""), "row 1, column name: is empty"),
        (HEADER + ROW.replace("Garage", "Ga\0rage"), "row 1, column name: holds a control character"),
        (HEADER + ROW.replace("CUST-A", "CUST\0A"), "row 1, column customer_id: holds a control character"),
        (HEADER.replace(",locale", "") + "CUST-A,org-a,Garage,FR_2000,thirty_days\n", "column locale is missing"),
        (HEADER + "CUST-A,org-a\n", "row 1: 2 fields"),
    ],
)
def test_a_customers_file_with_one_wrong_row_is_refused_whole(tmp_path: Path, text: str, told: str) -> None:
    path = _customers(tmp_path, text)
    with pytest.raises(InventoryError) as refused:
        read_customers(path)
    assert told in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_leap_february_has_29_days() -> None:
    plans, _ = plan_invoices(
        [service(1, "CUST-A", "29.00", activated_on=dt.date(2024, 2, 29))], CUSTOMERS, Period(2024, 2),
        not_evaluated=(), costs={},
    )  # fmt: skip
    assert plans[0].total == 100


def test_what_is_billed_in_another_currency_is_no_cost_of_zero() -> None:
    """Its lines stand in items of their own: the service's item alone says that nothing was billed."""
    unbilled = {"operator_code": "SFR", "side": "service", "invoice_amount": None, "service_amount": Decimal(20)}
    items = [
        {**unbilled, "service_id": "A", "currency": "EUR", "reason_code": "NOT_BILLED"},
        {**unbilled, "service_id": "B", "currency": "EUR", "reason_code": "NOT_BILLED"},
        {**unbilled, "service_id": "B", "currency": "USD", "reason_code": "CURRENCY_MISMATCH", "side": "line"},
        {**unbilled, "service_id": "A", "currency": "EUR", "reason_code": "UNEXPECTED_CHARGE", "side": "line"},
    ]
    assert costs_of(items) == {("SFR", "A"): (Decimal(0), "EUR"), ("SFR", "B"): (None, "EUR")}
