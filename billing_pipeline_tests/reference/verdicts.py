"""The verdict of one operator's month: every active service and every line share in exactly one item.

Why a service's difference is what it is stands in decomposition.py; counting items in summary.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from billing_pipeline.config import ReconciliationRules
from billing_pipeline.money import french_amount
from billing_pipeline.periods import Period
from billing_pipeline_tests.reference.allocation import share_of
from billing_pipeline_tests.reference.decomposition import Billed, Question, Reason, decompose
from billing_pipeline_tests.reference.expectation import active_days, expected_amount
from billing_pipeline_tests.reference.matching import Resolution, carries_a_key_of, resolve
from billing_pipeline_tests.reference.records import ExpectedCharge, Item, Line, Price, Service

DETAILS = {
    "NOT_BILLED": "Service actif sans ligne de facturation correspondante",
    "UNKNOWN_SERVICE": "Ligne de facturation sans service actif correspondant",
    "AMBIGUOUS_SERVICE": "Ligne de facturation rattachable à plusieurs services",
    "LINE_REJECTED": "Ligne de facturation rejetée à la lecture",
    "UNEXPECTED_CHARGE": "Frais ponctuels non attendus",
    "CURRENCY_MISMATCH": "Devise facturée différente de celle du contrat",
}
UNMATCHED_DETAILS = {
    "BILLED_AFTER_TERMINATION": "Facturé après la résiliation du service",
    "BILLED_BEFORE_ACTIVATION": "Facturé avant l'activation du service",
}
NOTHING = Decimal(0)


@dataclass(frozen=True)
class Month:
    """What one reconciliation is given. `rejected_keys`: the keys, by name, of each rejected row of P's files."""

    services: Sequence[Service]
    prices: Sequence[Price]
    charges: Sequence[ExpectedCharge]
    rejected_keys: Sequence[Mapping[str, str | None]]
    period: Period
    rules: ReconciliationRules


def reconcile(
    services: Sequence[Service],
    prices: Sequence[Price],
    charges: Sequence[ExpectedCharge],
    lines: Sequence[Line],
    rejected_keys: Sequence[Mapping[str, str | None]],
    period: Period,
    rules: ReconciliationRules,
) -> list[Item]:
    """One operator's items of `period`, by item_id. `lines`: all collected lines, whichever month brought them."""
    month = Month(services, prices, charges, rejected_keys, period, rules)
    recurring: dict[str, list[Billed]] = {}
    one_off: list[tuple[Billed, Service]] = []
    items: list[Item] = []
    for line in lines:
        if share_of(line, period) is None:
            continue
        resolution = resolve(line, services, period, rules.match_on)
        billed = as_billed(line, resolution, period)
        if resolution.service is None:
            code = "AMBIGUOUS_SERVICE" if resolution.is_ambiguous else "UNKNOWN_SERVICE"
            items.append(_line_item(billed, None, "UNMATCHED", [Reason(code, billed.share)]))
        elif line.charge_type == "recurring":
            recurring.setdefault(resolution.service.service_id, []).append(billed)
        else:
            one_off.append((billed, resolution.service))
    for service in services:
        items.extend(service_items(month, service, recurring.get(service.service_id, [])))
    items.extend(one_off_items(month, one_off))
    return sorted(items, key=lambda item: item.item_id)


def as_billed(line: Line, resolution: Resolution, period: Period) -> Billed:
    """The line's share of P: in the invoicing currency where that is the contract's and the charge's is not."""
    share = share_of(line, period)
    assert share is not None
    service = resolution.service
    if (
        service is not None
        and line.currency != service.currency
        and line.invoicing_currency == service.currency
        and line.invoicing_amount is not None
        and share.invoicing_amount is not None
    ):
        return Billed(line, line.invoicing_amount, share.invoicing_amount, service.currency, resolution.tier)
    return Billed(line, line.total_ht, share.amount, line.currency, resolution.tier)


def service_items(month: Month, service: Service, billed: list[Billed]) -> list[Item]:
    """The items of one service's recurring lines: its own, and one per line in a foreign currency."""
    is_active = bool(active_days(service, month.period))
    native = [one for one in billed if one.currency == service.currency]
    foreign = [one for one in billed if one.currency != service.currency]
    if is_active and foreign and not native and len({one.currency for one in foreign}) == 1:
        return [_all_in_one_foreign_currency(month, service, foreign)]
    items = [
        replace(
            _line_item(one, service, "DISCREPANCY", [Reason("CURRENCY_MISMATCH", NOTHING)]),
            difference=None,
        )
        for one in foreign
    ]
    if is_active and native:
        items.append(_billed_service(month, service, native))
    elif is_active:
        items.append(_service_without_lines(month, service))
    elif native:
        items.append(_billed_outside_life(month, service, native))
    return items


def _all_in_one_foreign_currency(month: Month, service: Service, foreign: list[Billed]) -> Item:
    expected = expected_amount(service, month.prices, month.period, month.rules.proration)
    item = _item_of_service(
        service, "service", foreign, "DISCREPANCY", expected, [Reason("CURRENCY_MISMATCH", NOTHING)]
    )
    return replace(item, difference=None, currency=foreign[0].currency)


def _billed_service(month: Month, service: Service, native: list[Billed]) -> Item:
    expected = expected_amount(service, month.prices, month.period, month.rules.proration)
    tolerance = tolerance_of(month, native)
    difference = sum((one.share for one in native), NOTHING) - expected
    if abs(difference) <= tolerance:
        return _item_of_service(service, "service", native, "MATCHED", expected, _rounding(difference))
    reasons = decompose(Question(service, month.prices, month.period, month.rules, native, expected, tolerance))
    return _item_of_service(service, "service", native, "DISCREPANCY", expected, reasons)


def _service_without_lines(month: Month, service: Service) -> Item:
    expected = expected_amount(service, month.prices, month.period, month.rules.proration)
    if expected <= tolerance_of(month, []):
        return _item_of_service(service, "service", [], "MATCHED", expected, _rounding(-expected))
    was_rejected = any(carries_a_key_of(service, keys, month.rules.match_on) for keys in month.rejected_keys)
    reason = Reason("LINE_REJECTED" if was_rejected else "NOT_BILLED", -expected)
    return _item_of_service(service, "service", [], "UNMATCHED", expected, [reason])


def _billed_outside_life(month: Month, service: Service, native: list[Billed]) -> Item:
    amount = sum((one.share for one in native), NOTHING)
    if abs(amount) <= tolerance_of(month, native):
        return _item_of_service(service, "line", native, "MATCHED", None, _rounding(amount))
    is_over = service.terminated_on is not None and service.terminated_on < month.period.first_day
    code = "BILLED_AFTER_TERMINATION" if is_over else "BILLED_BEFORE_ACTIVATION"
    return _item_of_service(service, "line", native, "UNMATCHED", None, [Reason(code, amount)])


def one_off_items(month: Month, one_off: list[tuple[Billed, Service]]) -> list[Item]:
    """Lines by ids, each taking the unused expected charge of its service and period with the closest amount."""
    unused = [charge for charge in month.charges if charge.period == str(month.period)]
    tolerance = tolerance_of(month, [])
    items = []
    for billed, service in sorted(one_off, key=lambda pair: pair[0].line.ids):
        mine = [charge for charge in unused if charge.service_id == service.service_id]
        if billed.currency != service.currency:
            mine = []
        mine.sort(key=lambda charge: (abs(charge.amount_ht - billed.share), charge.position))
        if mine and abs(mine[0].amount_ht - billed.share) <= tolerance:
            unused.remove(mine[0])
            difference = billed.share - mine[0].amount_ht
            items.append(_line_item(billed, service, "MATCHED", _rounding(difference), mine[0].amount_ht))
        else:
            items.append(_line_item(billed, service, "DISCREPANCY", [Reason("UNEXPECTED_CHARGE", billed.share)]))
    return items


def tolerance_of(month: Month, billed: Sequence[Billed]) -> Decimal:
    return month.rules.tolerance_per_line * max(1, len(billed))


def _rounding(difference: Decimal) -> list[Reason]:
    return [Reason("ROUNDING", difference)] if difference != 0 else []


def _line_item(
    billed: Billed, service: Service | None, status: str, reasons: list[Reason], expected: Decimal | None = None
) -> Item:
    item_id = f"line:{billed.line.invoice_id}:{billed.line.line_id}"
    return _item(item_id, "line", service, [billed], billed.currency, status, expected, reasons)


def _item_of_service(
    service: Service, side: str, billed: list[Billed], status: str, expected: Decimal | None, reasons: list[Reason]
) -> Item:
    return _item(f"service:{service.service_id}", side, service, billed, service.currency, status, expected, reasons)


def _item(
    item_id: str,
    side: str,
    service: Service | None,
    billed: list[Billed],
    currency: str,
    status: str,
    expected: Decimal | None,
    reasons: list[Reason],
) -> Item:
    amount = sum((one.share for one in billed), NOTHING) if billed else None
    difference = (amount or NOTHING) - (expected or NOTHING)
    # The largest signed share; among equals the lowest ids, which a stable sort puts first.
    shown = max(sorted(billed, key=lambda one: one.line.ids), key=lambda one: one.share, default=None)
    # max() keeps the first of equals, and the reasons come in the order of the steps.
    weightiest = max(reasons, key=lambda reason: abs(reason.amount), default=None)
    code = None if weightiest is None else weightiest.code
    return Item(
        item_id=item_id,
        side=side,
        service_id=None if service is None else service.service_id,
        invoice_id=None if shown is None else shown.line.invoice_id,
        invoice_line_id=None if shown is None else shown.line.line_id,
        invoice_line_ids=tuple(sorted(one.line.reference for one in billed)),
        status=status,
        service_amount=expected,
        invoice_amount=amount,
        difference=difference,
        currency=currency,
        reason_code=code,
        match_key=None if shown is None else shown.tier,
        detail=_detail(status, code, difference, currency),
        reasons={reason.code: (reason.amount, reason.note) for reason in reasons if reason.amount != 0},
    )


def _detail(status: str, code: str | None, difference: Decimal, currency: str) -> str | None:
    if status == "MATCHED" or code is None:
        return None
    if status == "UNMATCHED" and code in UNMATCHED_DETAILS:
        return UNMATCHED_DETAILS[code]
    return DETAILS.get(code) or f"Écart de {french_amount(difference, currency)} HT"
