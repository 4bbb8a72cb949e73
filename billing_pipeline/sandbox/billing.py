"""What an operator bills for a service when it makes no mistake: the lines of one month. Mistakes are stories.py."""

import datetime as dt
from dataclasses import dataclass, replace
from decimal import Decimal

from billing_pipeline.config import ChargeType, DocumentType, Proration
from billing_pipeline.money import round_half_up
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.contract_price import expected_amount
from billing_pipeline.sandbox.services import INTERVENTION_CYCLE, Keys, Service

INTERVENTION = ("Intervention technicien sur site", Decimal("85.00"))
_NOTHING_OFF = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Charge:
    """One billed line; two equal ones are two lines. Amounts exclude tax, are in `currency` and negative for credits.

    `gross` less the discount is `amount`. `days` are the first and last service day stated, None where only the
    charge month is. `converted` is (amount, currency, rate) when the operator invoices in another currency than it
    charges. `unreadable` stands in place of the taxable amount: a row that cannot be read.
    """

    service: Service
    service_id: str | None
    keys: Keys
    charge_type: ChargeType
    document_type: DocumentType
    description: str
    month: Period
    days: tuple[dt.date, dt.date] | None
    amount: Decimal
    gross: Decimal
    discount_percent: Decimal
    tax: Decimal
    currency: str
    unit_price: Decimal
    quantity: int = 1
    monthly_price: Decimal | None = None
    quarterly: bool = False
    converted: tuple[Decimal, str, Decimal] | None = None
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class ExpectedCharge:
    """A one-off amount the reseller ordered and expects to be billed, in the contract's currency."""

    service_id: str
    period: Period
    amount: Decimal
    description: str


def expected_charges(service: Service, period: Period) -> list[ExpectedCharge]:
    """The access fee in the month of activation; now and then an intervention."""
    found = []
    if Period.of(service.terms.activated_on) == period:
        fee = f"Frais d'accès au service {service.offer.technology}"
        found.append(ExpectedCharge(service.service_id, period, service.offer.access_fee, fee))
    month = (period.year * 12 + period.month) % INTERVENTION_CYCLE
    if month == service.intervention_slot and service.terms.active_days(period):
        found.append(ExpectedCharge(service.service_id, period, INTERVENTION[1], INTERVENTION[0]))
    return found


def ordinary_charges(service: Service, period: Period, convention: Proration) -> list[Charge]:
    """The lines that the contract makes due in the invoice of `period`: recurring ones first, then one-off ones."""
    one_offs = [
        one_off_charge(service, period, due.amount, due.description) for due in expected_charges(service, period)
    ]
    if service.quarterly:
        return [*_quarter(service, period, convention), *one_offs]
    due = expected_amount(service.terms, period, convention)
    if not due:
        return one_offs
    if not service.two_lines:
        return [recurring_charge(service, period, due, convention), *one_offs]
    access = round_half_up(due * Decimal("0.85"))
    option = f"Option GTR 4h - {service.imb}"
    return [
        recurring_charge(service, period, access, convention),
        recurring_charge(service, period, due - access, convention, description=option),
        *one_offs,
    ]


def _quarter(service: Service, period: Period, convention: Proration) -> list[Charge]:
    """Three equal months in advance, in the invoice of the quarter's first month."""
    if period.month % 3 != 1:
        return []
    monthly = expected_amount(service.terms, period, convention)
    line = recurring_charge(service, period, 3 * monthly, convention)
    days = (period.first_day, period.shift(2).last_day)
    return [replace(line, days=days, quarterly=True, monthly_price=monthly)]


def recurring_charge(
    service: Service, period: Period, amount: Decimal, convention: Proration, *,
    description: str = "", currency: str = "", days: tuple[dt.date, dt.date] | None = None,
) -> Charge:  # fmt: skip
    """A line for the service's active days of the period, unless `days` states others.

    Where the discount explains the amount, the line states it; otherwise it states the amount as it is.
    """
    terms = service.terms
    gross, discount = amount, _NOTHING_OFF
    if terms.discount_percent:
        full = expected_amount(replace(terms, discount_percent=_NOTHING_OFF), period, convention)
        if amount == expected_amount(terms, period, convention):
            gross, discount = full, terms.discount_percent
    stated = days or terms.active_days(period)
    # One access in ten is billed by charge month alone: the rule for month-dated lines must hold for R189 too.
    if days is None and service.index % 10 == 3 and stated == (period.first_day, period.last_day):
        stated = None
    text = description or f"Accès {service.offer.technology} activé {service.offer.speed} - {service.imb}"
    return Charge(
        service=service, service_id=service.service_id, keys=service.billed_keys, charge_type=ChargeType.RECURRING,
        document_type=DocumentType.INVOICE, description=text, month=period, days=stated, amount=amount, gross=gross,
        discount_percent=discount, tax=tax_on(amount, service), currency=currency or service.currency,
        unit_price=amount, monthly_price=terms.price_on(period.first_day),
    )  # fmt: skip


def one_off_charge(
    service: Service, period: Period, amount: Decimal, description: str, charge_type: ChargeType = ChargeType.ONE_OFF
) -> Charge:
    """A one-off or usage line in the contract's currency."""
    return Charge(
        service=service, service_id=service.service_id, keys=service.billed_keys, charge_type=charge_type,
        document_type=DocumentType.INVOICE, description=f"{description} - {service.imb}", month=period, days=None,
        amount=amount, gross=amount, discount_percent=_NOTHING_OFF, tax=tax_on(amount, service),
        currency=service.currency, unit_price=amount,
    )  # fmt: skip


def credit_of(charge: Charge, amount: Decimal | None = None) -> Charge:
    """A credit of the same service days: of the whole line, or of `amount` (positive)."""
    credited = -(charge.amount if amount is None else amount)
    return replace(
        charge, document_type=DocumentType.CREDIT_NOTE, description=f"Avoir sur {charge.description}", amount=credited,
        gross=credited, discount_percent=_NOTHING_OFF, tax=tax_on(credited, charge.service), unit_price=credited,
    )  # fmt: skip


def tax_on(amount: Decimal, service: Service) -> Decimal:
    return round_half_up(amount * service.commune.vat_percent / 100)
