"""The errors operators make, one story each: what the service must be like, what is billed, which verdict that earns.

A story happens to one service in one month, its anchor, and every third month from there on where it `repeats`.
Which services live through one, and when, is plan.py; the error-free lines are billing.py.
"""

from dataclasses import replace
from decimal import Decimal

from billing_pipeline.config import ChargeType, Proration
from billing_pipeline.periods import Period
from billing_pipeline.sandbox.billing import Charge, credit_of, expected_charges, one_off_charge
from billing_pipeline.sandbox.contract_price import expected_amount
from billing_pipeline.sandbox.scene import Outcome, Scene, Verdict
from billing_pipeline.sandbox.services import RISE_DAY, Keys, Service

CENT = Decimal("0.01")
FOREIGN = ("USD", "GBP", "CHF")
_RATE_TO_EUR = Decimal("0.9200")


def steady(service: Service, anchor: Period) -> Service:
    return service


def ends_inside(service: Service, anchor: Period) -> Service:
    return service.under(terminated_on=anchor.first_day.replace(day=12))


def ended_before(service: Service, anchor: Period) -> Service:
    return service.under(terminated_on=anchor.shift(-1).first_day.replace(day=15))


def starts_inside(service: Service, anchor: Period) -> Service:
    return service.under(activated_on=anchor.first_day.replace(day=11))


def starts_after(service: Service, anchor: Period) -> Service:
    return service.under(activated_on=anchor.shift(1).first_day.replace(day=6))


def price_rises(service: Service, anchor: Period) -> Service:
    return service.under(changes=((RISE_DAY, service.terms.price + Decimal("2.00")),))


def discounted(service: Service, anchor: Period) -> Service:
    return service.under(discount_percent=Decimal(10))


def free_of_charge(service: Service, anchor: Period) -> Service:
    return service.under(discount_percent=Decimal(100))


def symbolic_price(service: Service, anchor: Period) -> Service:
    return service.under(price=CENT)


def foreign_contract(service: Service, anchor: Period) -> Service:
    """A customer of its own per currency, because a customer's invoice is in one currency."""
    currency = FOREIGN[(service.index + anchor.month) % 3]
    return replace(service, currency=currency, customer_id=f"CUST-{currency}")


def not_billed(scene: Scene) -> Outcome:
    return Outcome(scene.one_offs, [scene.service_item("UNMATCHED", "NOT_BILLED")])


def billed_one_cent_off(scene: Scene) -> Outcome:
    step = CENT if scene.service.index % 2 else -CENT
    line = scene.bill(scene.due + step)
    return Outcome([line, *scene.one_offs], [scene.service_item("MATCHED", "ROUNDING", line)])


def line_cannot_be_read(scene: Scene) -> Outcome:
    line = replace(scene.line, unreadable="n/c")
    return Outcome([line, *scene.one_offs], [scene.service_item("UNMATCHED", "LINE_REJECTED")])


def billed_twice(scene: Scene) -> Outcome:
    pair = (scene.line, scene.line)
    return Outcome([*pair, *scene.one_offs], [scene.service_item("DISCREPANCY", "DUPLICATE_LINE", *pair)])


def billed_twice_and_credited(scene: Scene) -> Outcome:
    lines = (scene.line, scene.line, credit_of(scene.line))
    return Outcome([*lines, *scene.one_offs], [scene.service_item("MATCHED", None, *lines)])


def billed_twice_and_credited_later(scene: Scene) -> Outcome:
    line = scene.bill_all_month()
    pair, credit = (line, replace(line)), credit_of(line)
    verdict = replace(scene.service_item("MATCHED", None, *pair, credit), until_then=("DISCREPANCY", "DUPLICATE_LINE"))
    return Outcome([*pair, *scene.one_offs], [verdict], later=[credit])


def billed_after_it_ended_inside(scene: Scene) -> Outcome:
    line = scene.bill_all_month()
    verdict = scene.service_item("DISCREPANCY", "BILLED_AFTER_TERMINATION", line)
    return Outcome([line, *scene.one_offs], [verdict])


def billed_before_it_began_inside(scene: Scene) -> Outcome:
    line = scene.bill_all_month()
    verdict = scene.service_item("DISCREPANCY", "BILLED_BEFORE_ACTIVATION", line)
    return Outcome([line, *scene.one_offs], [verdict])


def billed_after_termination(scene: Scene) -> Outcome:
    line = scene.bill_all_month()
    return Outcome([line], [scene.service_item("UNMATCHED", "BILLED_AFTER_TERMINATION", line)])


def billed_before_activation(scene: Scene) -> Outcome:
    line = scene.bill_all_month()
    return Outcome([line], [scene.service_item("UNMATCHED", "BILLED_BEFORE_ACTIVATION", line)])


def closed_billed_and_credited(scene: Scene) -> Outcome:
    lines = (scene.bill_all_month(), credit_of(scene.bill_all_month()))
    return Outcome([*lines], [scene.service_item("MATCHED", None, *lines)])


def closed_credited_but_a_cent(scene: Scene) -> Outcome:
    line = scene.bill_all_month()
    lines = (line, credit_of(line, line.amount - CENT))
    return Outcome([*lines], [scene.service_item("MATCHED", "ROUNDING", *lines)])


def prorated_by_another_convention(scene: Scene) -> Outcome:
    """In the month of activation: by days where thirtieths or whole months were agreed, by thirtieths otherwise."""
    ours = scene.operator.proration
    other = Proration.THIRTIETHS if ours is Proration.ACTUAL_DAYS else Proration.ACTUAL_DAYS
    line = scene.bill(expected_amount(scene.service.terms, scene.period, other))
    return Outcome([line, *scene.one_offs], [scene.service_item("DISCREPANCY", "PRORATION", line)])


def billed_at_the_old_price(scene: Scene) -> Outcome:
    line = scene.bill(scene.service.terms.price)
    return Outcome([line, *scene.one_offs], [scene.service_item("DISCREPANCY", "STALE_PRICE", line)])


def discount_forgotten(scene: Scene) -> Outcome:
    line = scene.bill(scene.service.terms.price)
    return Outcome([line, *scene.one_offs], [scene.service_item("DISCREPANCY", "DISCOUNT_MISSING", line)])


def billed_too_dear(scene: Scene) -> Outcome:
    """3,50 € too much, the hub's own example."""
    line = scene.bill(scene.due + Decimal("3.50"))
    return Outcome([line, *scene.one_offs], [scene.service_item("DISCREPANCY", "PRICE_MISMATCH", line)])


def option_nobody_ordered(scene: Scene) -> Outcome:
    lines = (scene.line, scene.bill(Decimal("7.40"), f"Option IP fixe - {scene.service.imb}"))
    return Outcome([*lines, *scene.one_offs], [scene.service_item("DISCREPANCY", "UNEXPLAINED", *lines)])


def _of_nobody(scene: Scene, charge: Charge) -> Charge:
    """The same line for an access that no inventory knows; every other hub line of the kind states no service."""
    number = 900_000 + scene.service.number
    known = scene.service.index % 2 == 0
    return replace(
        charge,
        service_id=f"SVC-2024-{number:06d}" if known else None,
        keys=Keys(installed_offer_id=f"OFR-{scene.operator.prefix}{number:06d}"),
    )


def stray_line(scene: Scene) -> Outcome:
    stray = _of_nobody(scene, scene.line)
    verdict = Verdict("UNMATCHED", "UNKNOWN_SERVICE", stray.amount, charge=stray)
    return Outcome([*scene.ordinary, stray], [verdict])


def stray_one_off(scene: Scene) -> Outcome:
    fee = one_off_charge(scene.service, scene.period, Decimal("45.00"), "Frais d'accès au service FTTH")
    stray = _of_nobody(scene, fee)
    verdict = Verdict("UNMATCHED", "UNKNOWN_SERVICE", stray.amount, charge=stray)
    return Outcome([*scene.ordinary, stray], [verdict])


def line_of_two_services(scene: Scene) -> Outcome:
    charge = scene.bill(Decimal("4.90"), f"Option supervision - lot {scene.service.keys.order_reference}")
    shared = replace(charge, keys=Keys(order_reference=scene.service.keys.order_reference))
    verdict = Verdict("UNMATCHED", "AMBIGUOUS_SERVICE", shared.amount, charge=shared)
    return Outcome([*scene.ordinary, shared], [verdict])


def one_off_of_two_services(scene: Scene) -> Outcome:
    charge = one_off_charge(scene.service, scene.period, Decimal("60.00"), "Étude de desserte")
    shared = replace(charge, keys=Keys(order_reference=scene.service.keys.order_reference))
    verdict = Verdict("UNMATCHED", "AMBIGUOUS_SERVICE", shared.amount, charge=shared)
    return Outcome([*scene.ordinary, shared], [verdict])


def one_off_nobody_ordered(scene: Scene) -> Outcome:
    charge = one_off_charge(scene.service, scene.period, Decimal("120.00"), "Intervention à tort")
    verdict = Verdict("DISCREPANCY", "UNEXPECTED_CHARGE", charge.amount, charge=charge)
    return Outcome([*scene.ordinary, charge], [verdict])


def usage_nobody_ordered(scene: Scene) -> Outcome:
    charge = one_off_charge(scene.service, scene.period, Decimal("3.27"), "Dépassement 95e centile", ChargeType.USAGE)
    verdict = Verdict("DISCREPANCY", "UNEXPECTED_CHARGE", charge.amount, charge=charge)
    return Outcome([*scene.ordinary, charge], [verdict])


def access_fee_one_cent_off(scene: Scene) -> Outcome:
    fee = expected_charges(scene.service, scene.period)[0]
    charge = one_off_charge(scene.service, scene.period, fee.amount + CENT, fee.description)
    return Outcome([scene.line, charge], [Verdict("MATCHED", "ROUNDING", CENT, charge=charge)])


def billed_in_another_currency(scene: Scene) -> Outcome:
    line = scene.bill(scene.due, currency="USD")
    return Outcome([line], [Verdict("DISCREPANCY", "CURRENCY_MISMATCH", None, billed=(line,))])


def extra_line_in_another_currency(scene: Scene) -> Outcome:
    extra = scene.bill(Decimal("7.40"), f"Option IP fixe - {scene.service.imb}", currency="GBP")
    return Outcome([*scene.ordinary, extra], [Verdict("DISCREPANCY", "CURRENCY_MISMATCH", None, charge=extra)])


def billed_in_two_other_currencies(scene: Scene) -> Outcome:
    lines = [scene.bill(scene.due, currency=currency) for currency in ("USD", "GBP")]
    verdicts = [Verdict("DISCREPANCY", "CURRENCY_MISMATCH", None, charge=line) for line in lines]
    return Outcome(lines, [*verdicts, scene.service_item("UNMATCHED", "NOT_BILLED")])


def closed_billed_in_another_currency(scene: Scene) -> Outcome:
    line = scene.bill_all_month(currency="USD")
    return Outcome([line], [Verdict("DISCREPANCY", "CURRENCY_MISMATCH", None, charge=line)])


def charged_abroad_invoiced_at_home(scene: Scene) -> Outcome:
    """Charged in dollars, invoiced in the contract's euros: the invoicing amount is what counts."""
    charged = scene.bill((scene.due / _RATE_TO_EUR).quantize(CENT), currency="USD")
    line = replace(charged, converted=(scene.due, "EUR", _RATE_TO_EUR))
    return Outcome([line, *scene.one_offs], [Verdict("MATCHED", None, Decimal("0.00"), billed=(line,))])


def caught_up_next_month(scene: Scene) -> Outcome:
    line = scene.bill_all_month()
    verdict = replace(scene.service_item("MATCHED", None, line), until_then=("UNMATCHED", "NOT_BILLED"))
    return Outcome(scene.one_offs, [verdict], later=[line])


def never_billed_and_rightly(scene: Scene) -> Outcome:
    reason = "ROUNDING" if scene.due else None
    return Outcome(scene.one_offs, [scene.service_item("MATCHED", reason)])


def nothing_wrong(scene: Scene) -> Outcome:
    return Outcome(scene.ordinary, [])


def unit_price_contradicts_total(scene: Scene) -> Outcome:
    """The amount is right; the unit price (netwo) or the discount percentage (R189) beside it is not."""
    line = replace(scene.line, unit_price=scene.line.unit_price + Decimal("3.50"), discount_percent=Decimal(5))
    finding = Verdict(None, None, None, charge=line, finding="LINE_ARITHMETIC")
    return Outcome([line, *scene.one_offs], [finding])


def too_much_vat(scene: Scene) -> Outcome:
    """25.00 of tax too much, beyond the cent per line that 200 lines of an invoice are allowed."""
    line = replace(scene.line, tax=scene.line.tax + Decimal("25.00"))
    return Outcome([line, *scene.one_offs], [Verdict(None, None, None, charge=line, finding="VAT_AMOUNT")])
