"""What each customer is to be invoiced for a period: one invoice in one currency, a line per active service. Pure.

Nothing is sent or kept here. Prices are the inventory's `resale_price_ht` per month excluding tax, prorated ACTUAL_DAYS
and rounded once to cents; costs are what the operator billed for the service in the period.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from billing_pipeline.exact_json import plain_decimal
from billing_pipeline.money import CENT, divide_half_up
from billing_pipeline.normalize.customers import Customer
from billing_pipeline.periods import Period

# (operator_code, service_id) → what the operator billed, and in which currency; None where that cannot be told.
Costs = Mapping[tuple[str, str], tuple[Decimal | None, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResoldService:
    """A service of the inventory, of any customer or of none."""

    operator_code: str
    service_id: str
    description: str | None
    customer_id: str | None
    currency: str
    activated_on: dt.date
    terminated_on: dt.date | None
    resale_price_ht: Decimal | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "ResoldService":
        """A row of the inventory; what PostgreSQL has no character for is shown in it, as in every table it is in."""
        shown: dict[str, Any] = {
            name: one.replace("\0", "\u2400") if isinstance(one, str) else one for name, one in row.items()
        }
        return cls(**shown)

    def days_in(self, period: Period) -> tuple[dt.date, dt.date] | None:
        """First and last day of service in the period; None without one."""
        first = max(self.activated_on, period.first_day)
        last = min(self.terminated_on or period.last_day, period.last_day)
        return (first, last) if first <= last else None


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """One line: `unit_price` in whole cents excluding tax, `days` where it is for a part of the month only."""

    service_id: str
    description: str
    unit_price: int
    days: str
    cost_ht: str | None


@dataclass(frozen=True, slots=True)
class PlannedInvoice:
    """One customer's invoice of one period, lines in service_id order. `cost_checked`: every operator was evaluated."""

    customer: Customer
    period: str
    currency: str
    lines: tuple[PlannedLine, ...]
    cost_checked: bool
    note: str | None = None

    @property
    def total(self) -> int:
        """Whole cents excluding tax."""
        return sum(line.unit_price for line in self.lines)

    def content(self) -> dict[str, Any]:
        """The plan as an event keeps it: texts, whole numbers, lists."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "PlannedInvoice":
        lines = tuple(PlannedLine(**line) for line in content["lines"])
        return cls(**{**content, "customer": Customer(**content["customer"]), "lines": lines})

    @property
    def digest(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def invoiced(self) -> tuple[Any, ...]:
        """What the customer would notice if it changed."""
        return (self.customer.invoicing_customer_id, self.customer.vat_code, self.currency, *self.amounts)

    @property
    def amounts(self) -> tuple[tuple[str, int], ...]:
        return tuple((line.service_id, line.unit_price) for line in self.lines)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A customer who gets no invoice as things stand, and why; `customer_id` is empty for services that name none."""

    customer_id: str
    reason: str


def plan_invoices(
    services: Iterable[ResoldService],
    customers: Mapping[str, Customer],
    period: Period,
    *,
    not_evaluated: Collection[str],
    costs: Costs,
    cost_check: bool = True,
) -> tuple[list[PlannedInvoice], list[Refusal]]:
    """Plans and refusals by customer_id. `not_evaluated`: operators without a verdict for the period.

    Without `cost_check` a customer of such an operator is planned all the same, costs null.
    """
    active: dict[str, list[ResoldService]] = {}
    for service in services:
        if service.days_in(period) is not None:
            active.setdefault(service.customer_id or "", []).append(service)
    plans, refusals = [], []
    for customer_id, owned in sorted(active.items()):
        resold = sorted((one for one in owned if one.resale_price_ht is not None), key=lambda one: one.service_id)
        if not resold:
            continue
        missing = sorted({one.operator_code for one in owned} & set(not_evaluated))
        reason = _refused(customer_id, resold, customers, period, missing if cost_check else [])
        if reason is not None:
            refusals.append(Refusal(customer_id, reason))
        else:
            plans.append(_invoice(customers[customer_id], resold, period, missing, costs))
    return plans, refusals


def _refused(
    customer_id: str,
    resold: Sequence[ResoldService],
    customers: Mapping[str, Customer],
    period: Period,
    missing: Sequence[str],
) -> str | None:
    ids = [one.service_id for one in resold]
    if not customer_id:
        return (
            f"{len(ids)} active services have a resale price and no customer_id ({_named(ids)}); name their customer in "
            "the inventory"
        )
    if customer_id not in customers:
        return "is not in the customers file; add a row, or take resale_price_ht off its services"
    currencies = sorted({one.currency for one in resold})
    if len(currencies) > 1:
        return (
            f"has services in {' and '.join(currencies)}, and an invoice is in one currency; give the services of one "
            "currency a customer_id of their own"
        )
    if twice := sorted({one for one in ids if ids.count(one) > 1}):
        return f"has service {twice[0]} under several operators; give each its own service_id"
    if missing:
        return (
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not evaluated for {period}; run the period, "
            "or prepare it all the same with --without-cost-check"
        )
    return None


def _named(ids: Sequence[str]) -> str:
    return ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")


def _invoice(
    customer: Customer, resold: Sequence[ResoldService], period: Period, missing: Sequence[str], costs: Costs
) -> PlannedInvoice:
    note = None
    if missing:
        note = f"prepared without cost check: {' and '.join(missing)} not evaluated"
    known = {} if missing else costs
    lines = tuple(_line(one, period, customer.locale, known) for one in resold)
    return PlannedInvoice(customer, str(period), resold[0].currency, lines, not missing, note)


def _line(service: ResoldService, period: Period, locale: str, costs: Costs) -> PlannedLine:
    days = service.days_in(period)
    assert days is not None  # only active services get here
    assert service.resale_price_ht is not None
    count = (days[1] - days[0]).days + 1
    cents = divide_half_up(service.resale_price_ht * count, period.days, CENT).scaleb(2)
    cost, currency = costs.get((service.operator_code, service.service_id), (None, ""))
    return PlannedLine(
        service.service_id,
        service.description or service.service_id,
        int(cents),
        "" if count == period.days else _days(days, count, period, locale),
        plain_decimal(cost) if cost is not None and currency == service.currency else None,
    )


def _days(days: tuple[dt.date, dt.date], count: int, period: Period, locale: str) -> str:
    if locale == "fr":
        return f"Du {days[0]:%d/%m/%Y} au {days[1]:%d/%m/%Y} ({count} jour{'s' if count > 1 else ''} sur {period.days})"
    return f"{days[0]} – {days[1]} ({count}/{period.days})"
