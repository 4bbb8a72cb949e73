"""The lines of a generated month: amounts that hit the equalities of the rules, and the ways two lines can relate."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Protocol, TypeVar

from billing_pipeline.config import Proration, ReconciliationRules
from billing_pipeline.periods import Period
from billing_pipeline_tests.reference.expectation import (
    expected_amount,
    expected_at_price,
    expected_full_month,
    expected_without_discount,
    history,
)
from billing_pipeline_tests.reference.records import ExpectedCharge, Line, Price, Service

Thing = TypeVar("Thing")
NUDGES = ("0",) * 8 + ("0.01", "-0.01", "0.02", "-0.02", "0.03", "5.55", "0.000001")
KEY_COLUMNS = ("installed_offer_id", "external_reference", "serial_number", "order_reference")


class Chooser(Protocol):
    """Where the choices come from: a seeded generator or hypothesis."""

    def one_of(self, options: Sequence[Thing]) -> Thing: ...

    def integer(self, low: int, high: int) -> int: ...


def line_amounts(
    services: Sequence[Service],
    prices: Sequence[Price],
    charges: Sequence[ExpectedCharge],
    period: Period,
    rules: ReconciliationRules,
) -> dict[str, list[Decimal]]:
    """Per service the amounts worth billing: E, E otherwise, prices, halves, expected charges; E first."""
    amounts: dict[str, list[Decimal]] = {}
    for service in services:
        own = rules.proration
        expected = expected_amount(service, prices, period, own)
        found = [expected, expected, expected, expected / 2, expected_full_month(service, prices, period, own)]
        found.append(expected_without_discount(service, prices, period, own))
        found += [expected_amount(service, prices, period, convention) for convention in Proration]
        found += [expected_at_price(service, price, period, own) for price in history(service, prices)]
        found += history(service, prices)
        found += [charge.amount_ht for charge in charges if charge.service_id == service.service_id]
        found.append(Decimal("12.00"))
        amounts[service.service_id] = found
    return amounts


def make_lines(
    choose: Chooser,
    services: Sequence[Service],
    amounts: dict[str, list[Decimal]],
    period: Period,
    operator_code: str,
) -> list[Line]:
    """0 to 8 lines: fresh ones, and copies, credits and halves of the one before."""
    lines: list[Line] = []
    for number in range(1, choose.integer(0, 8) + 1):
        relation = choose.one_of(("fresh", "fresh", "fresh", "copy", "credit", "reworded", "complement"))
        if not lines or relation == "fresh":
            line = _fresh(choose, services, amounts, period, operator_code)
        else:
            line = _related(choose, relation, choose.one_of(lines))
        invoice = choose.one_of(("INV-1", "INV-2", "INV-10"))
        lines.append(replace(line, invoice_id=invoice, line_id=f"0a1b2c3d-{number:06d}", source_row=number))
    return lines


def _related(choose: Chooser, relation: str, line: Line) -> Line:
    if relation == "credit":
        total = -line.total_ht
        pair = None if line.invoicing_amount is None else -line.invoicing_amount
        return replace(line, total_ht=total, invoicing_amount=pair, document_type="credit_note", description="Avoir")
    if relation == "reworded":
        return replace(line, description=choose.one_of((" ABONNEMENT FIBRE ", "Option", None)))
    if relation == "complement":
        return replace(line, total_ht=line.total_ht + Decimal(choose.one_of(NUDGES)), description="Complément")
    return line


def _fresh(
    choose: Chooser,
    services: Sequence[Service],
    amounts: dict[str, list[Decimal]],
    period: Period,
    operator_code: str,
) -> Line:
    service = choose.one_of(services)
    amount = choose.one_of(amounts[service.service_id]) + Decimal(choose.one_of(NUDGES))
    amount = amount.quantize(Decimal("0.000001"))
    brought_by, first, last, charge_month, months = _when(choose, service, period)
    line = Line(
        operator_code=operator_code,
        period=str(brought_by),
        invoice_id="",
        line_id="",
        charge_type=choose.one_of(("recurring",) * 8 + ("one_off", "usage")),
        description=choose.one_of(("Abonnement fibre", "Abonnement fibre", "Option", None)),
        total_ht=amount * months,
        currency=service.currency,
        service_from=first,
        service_to=last,
        charge_month=None if charge_month is None else str(charge_month),
    )
    return _with_keys(choose, _with_currency(choose, line), service)


def _when(
    choose: Chooser, service: Service, period: Period
) -> tuple[Period, dt.date | None, dt.date | None, Period | None, int]:
    """(invoice's period, Period from, Period to, Charge Month, factor that makes P's share the wanted amount)."""
    before, after = period.shift(-1), period.shift(1)
    first, last = period.first_day, period.last_day
    middle = first.replace(day=choose.integer(2, period.days - 1))
    kind = choose.one_of(
        (
            "month",
            "month",
            "days",
            "days",
            "life",
            "life",
            "invoice's",
            "part",
            "quarter",
            "two-months",
            "odd-span",
            "catch-up",
            "elsewhere",
        )
    )
    start = min(max(first, service.activated_on), last)
    end = max(min(last, service.terminated_on or last), start)
    when: dict[str, tuple[Period, dt.date | None, dt.date | None, Period | None, int]] = {
        "month": (period, None, None, period, 1),
        "days": (period, first, last, period, 1),
        "life": (period, start, end, period, 1),
        "invoice's": (period, None, None, None, 1),
        "part": (period, first, middle, period, 1),
        "quarter": (before, before.first_day, after.last_day, before, 3),
        "two-months": (period, first, after.last_day, period, 2),
        "odd-span": (before, before.first_day.replace(day=12), middle, before, 1),
        "catch-up": (after, first, last, choose.one_of((after, None)), 1),
        "elsewhere": (after, after.first_day, after.last_day, after, 1),
    }
    return when[kind]


def _with_currency(choose: Chooser, line: Line) -> Line:
    """Mostly the contract's; else foreign, with or without the contract's currency in the invoicing pair."""
    kind = choose.one_of(("own",) * 8 + ("own pair", "foreign", "converted", "foreign pair"))
    rate = Decimal("1.085")
    if kind == "own":
        return line
    if kind == "own pair":
        return replace(line, invoicing_amount=line.total_ht, invoicing_currency=line.currency)
    foreign = choose.one_of([code for code in ("USD", "GBP", "EUR") if code != line.currency])
    charged = (line.total_ht * rate).quantize(Decimal("0.01"))
    if kind == "foreign":
        return replace(line, currency=foreign, total_ht=charged)
    pair = (line.total_ht, line.currency) if kind == "converted" else (charged, "CHF")
    return replace(line, currency=foreign, total_ht=charged, invoicing_amount=pair[0], invoicing_currency=pair[1])


def _with_keys(choose: Chooser, line: Line, service: Service) -> Line:
    """Which keys the line carries: the service's, some of them, another case, shared, wrong, or none."""
    kind = choose.one_of(("service_id",) * 6 + ("all", "one", "spaced", "shared", "unknown", "none", "wrong first"))
    if kind == "service_id":
        return replace(line, service_id=service.service_id)
    if kind == "all":
        return replace(line, **{key: getattr(service, key) for key in KEY_COLUMNS})
    if kind == "one":
        key = choose.one_of(KEY_COLUMNS)
        return replace(line, **{key: getattr(service, key)})
    if kind == "spaced":
        return replace(line, service_id=f"  {service.service_id.lower()} ")
    if kind == "shared":
        return replace(line, external_reference="k1", order_reference=service.order_reference)
    if kind == "unknown":
        return replace(line, service_id="SVC-UNKNOWN", site_id="IMB/33063/C/025A")
    if kind == "wrong first":
        return replace(line, service_id="SVC-UNKNOWN", order_reference=service.order_reference)
    return line
