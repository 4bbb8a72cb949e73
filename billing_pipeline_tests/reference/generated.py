"""Small nasty months to reconcile: a few services and lines whose amounts sit on the edges of the rules.

Cases only; what they must give is the reference's, or an identity's, to say. The same recipe runs on a seeded random
generator (thousands of cases) and on hypothesis (which shrinks).
"""

import datetime as dt
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Protocol, TypeVar

import pyarrow as pa
from hypothesis import strategies as st

from billing_pipeline.config import MatchKey, Proration, ReconciliationRules
from billing_pipeline.periods import Period
from billing_pipeline.schemas.arrow import ARROW_TYPES, content_schema, field
from billing_pipeline.schemas.columns import PARTITION, Kind
from billing_pipeline.schemas.tables import INVOICE_LINES, SERVICES
from billing_pipeline_tests.reference.generated_lines import Chooser, line_amounts, make_lines
from billing_pipeline_tests.reference.records import ExpectedCharge, Line, Price, Service

OPERATOR = "AXIONE"
PERIODS = ("2024-03", "2024-02", "2024-04", "2023-02", "2024-12")
PRICES = ("25.00", "40.00", "19.99", "33.33", "0.01", "0", "25.01", "1234.56", "30.123456")
DISCOUNTS = ("0", "0", "10", "12.5", "33.333333", "100")
CURRENCIES = ("EUR", "EUR", "EUR", "USD", "GBP")
KEYS = ("K1", "k1 ", "K2", "Kß", None, None)
OWN_KEYS = tuple(key.value for key in MatchKey if key is not MatchKey.SERVICE_ID)

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Case:
    """One operator's month, ready for `verdicts.reconcile`."""

    services: tuple[Service, ...]
    prices: tuple[Price, ...]
    charges: tuple[ExpectedCharge, ...]
    lines: tuple[Line, ...]
    rejected_keys: tuple[dict[str, str | None], ...]
    period: Period
    rules: ReconciliationRules


class _Seeded:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def one_of(self, options: Sequence[Thing]) -> Thing:
        return self._random.choice(options)

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)


class _Draw(Protocol):
    def __call__(self, strategy: st.SearchStrategy[Thing]) -> Thing: ...


class _Drawn:
    def __init__(self, draw: _Draw) -> None:
        self._draw = draw

    def one_of(self, options: Sequence[Thing]) -> Thing:
        return options[self._draw(st.integers(0, len(options) - 1))]

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))


@st.composite
def cases(draw: Any) -> Case:
    """Hypothesis strategy; the first option of every choice is the dullest, so that failures shrink to it."""
    return make_case(_Drawn(draw))


def seeded_cases(count: int, seed: int = 0) -> Iterator[Case]:
    """`count` cases, the same for the same seed; case n alone is `seeded_case(seed + n)`."""
    for number in range(count):
        yield seeded_case(seed + number)


def seeded_case(seed: int) -> Case:
    return make_case(_Seeded(seed))


def make_case(choose: Chooser) -> Case:
    period = Period.parse(choose.one_of(PERIODS))
    rules = ReconciliationRules(
        proration=choose.one_of(list(Proration)),
        tolerance_per_line=Decimal(choose.one_of(("0.01", "0.01", "0.01", "0", "0.02"))),
        match_on=_tiers(choose),
    )
    services = tuple(_service(choose, number, period) for number in range(1, choose.one_of((1, 1, 2, 2, 3, 4)) + 1))
    prices = tuple(price for service in services for price in _prices(choose, service, period))
    charges = tuple(_charge(choose, services, period, position) for position in range(1, choose.integer(0, 3) + 1))
    amounts = line_amounts(services, prices, charges, period, rules)
    lines = tuple(make_lines(choose, services, amounts, period, OPERATOR))
    rejected = tuple(
        {key: getattr(choose.one_of(services), key) for key in OWN_KEYS}
        for _ in range(choose.one_of((0, 0, 0, 0, 0, 1)))
    )
    return Case(services, prices, charges, lines, rejected, period, rules)


def _tiers(choose: Chooser) -> tuple[MatchKey, ...]:
    default = tuple(MatchKey)
    return choose.one_of((default,) * 8 + (default[::-1], default[1:3]))


def _service(choose: Chooser, number: int, period: Period) -> Service:
    started = choose.one_of(("long ago", "long ago", "inside", "first day", "last day", "month before", "after"))
    activated = {
        "long ago": dt.date(2021, 5, 17),
        "inside": period.first_day.replace(day=choose.integer(2, period.days - 1)),
        "first day": period.first_day,
        "last day": period.last_day,
        "month before": period.shift(-1).last_day,
        "after": period.shift(1).first_day,
    }[started]
    ended = choose.one_of(("open", "open", "inside", "last day", "first day", "month before", "after"))
    terminated = {
        "open": None,
        "inside": period.first_day.replace(day=choose.integer(2, period.days - 1)),
        "last day": period.last_day,
        "first day": period.first_day,
        "month before": period.shift(-1).last_day,
        "after": period.shift(1).first_day,
    }[ended]
    if terminated is not None and terminated < activated:
        terminated = activated
    return Service(
        operator_code=OPERATOR,
        service_id=f"SVC-{number}",
        currency=choose.one_of(CURRENCIES),
        monthly_price_ht=Decimal(choose.one_of(PRICES)),
        discount_percent=Decimal(choose.one_of(DISCOUNTS)),
        activated_on=activated,
        terminated_on=terminated,
        installed_offer_id=choose.one_of((f"OFR-{number}", f"OFR-{number}", None, "OFR-SHARED", " ")),
        external_reference=choose.one_of(KEYS),
        serial_number=choose.one_of(KEYS),
        order_reference=choose.one_of((f"CMD-{number}", None)),
    )


def _prices(choose: Chooser, service: Service, period: Period) -> list[Price]:
    days = {
        dt.date(2021, 1, 1),
        period.first_day,
        period.first_day.replace(day=choose.integer(2, period.days)),
        period.shift(1).first_day,
    }
    rows = []
    for day in sorted(days):
        if choose.one_of((False, False, True)):
            rows.append(Price(service.service_id, day, Decimal(choose.one_of(PRICES))))
    # The order of the file's rows must not matter.
    return rows[::-1] if choose.one_of((False, True)) else rows


def _charge(choose: Chooser, services: Sequence[Service], period: Period, position: int) -> ExpectedCharge:
    month = choose.one_of((period, period, period.shift(1)))
    amount = Decimal(choose.one_of(("80.00", "80.01", "45.00", "0.01", "0", "-25.00")))
    return ExpectedCharge(choose.one_of(services).service_id, str(month), amount, "Frais d'accès", position)


def to_arrow(case: Case) -> dict[str, pa.Table]:
    """The case as tables of the registry's types.

    `services`: operator_code and SERVICES without period, expected_amount, active_days; `prices`: service_id,
    valid_from, monthly_price_ht; `expected_charges`: service_id, period, amount_ht, description, position; `lines`:
    operator_code, period and INVOICE_LINES without run_id and loaded_at.
    """
    operator, period = (field(column) for column in PARTITION)
    computed = {"expected_amount", "active_days"}
    services = pa.schema([operator, *(one for one in content_schema(SERVICES) if one.name not in computed)])
    lines = pa.schema([operator, period, *content_schema(INVOICE_LINES)])
    decimal, text = ARROW_TYPES[Kind.DECIMAL], ARROW_TYPES[Kind.TEXT]
    prices = pa.schema([("service_id", text), ("valid_from", ARROW_TYPES[Kind.DATE]), ("monthly_price_ht", decimal)])
    charges = pa.schema(
        [
            ("service_id", text),
            ("period", ARROW_TYPES[Kind.PERIOD]),
            ("amount_ht", decimal),
            ("description", text),
            ("position", ARROW_TYPES[Kind.INTEGER]),
        ]
    )
    return {
        "services": _table(case.services, services),
        "prices": _table(case.prices, prices),
        "expected_charges": _table(case.charges, charges),
        "lines": _table(case.lines, lines),
    }


def _table(records: Sequence[Any], schema: pa.Schema) -> pa.Table:
    rows = [{one.name: getattr(record, one.name) for one in fields(record)} for record in records]
    return pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in rows], schema=schema)
