"""What is sent to the invoicing API and what its documents say: bodies out, documents in, and whether they agree. Pure.

Amounts there are whole cents, instants whole Unix seconds; enums may arrive as names or as numbers.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing_pipeline.errors import SourceError, one_line
from billing_pipeline.money import divide_half_up
from billing_pipeline.normalize.customers import VAT_RATES
from billing_pipeline.periods import PARIS, Period
from billing_pipeline.rebilling.plan import PlannedInvoice, PlannedLine

DRAFT, FINALIZED = "draft", "finalized"
# An invoice that was paid since is finalized all the same.
_FINAL = frozenset({"finalized", "paid", "signed"})
_LONGEST_NAME = 200


def lines_body(plan: PlannedInvoice) -> dict[str, Any]:
    return {"lines": [_line_body(line, plan.customer.vat_code) for line in plan.lines]}


def _line_body(line: PlannedLine, vat_code: str) -> dict[str, Any]:
    body = {
        "unitPrice": line.unit_price, "quantity": 1, "quantityUnit": "unit", "designation": line.description,
        "reference": line.service_id, "type": "service_delivery", "vatCode": vat_code,
    }  # fmt: skip
    return {**body, "description": line.days} if line.days else body


def informations_body(plan: PlannedInvoice) -> dict[str, Any]:
    """A note that says which month and whose reference, for the customer and for whoever looks a draft up by hand."""
    period = Period.parse(plan.period)
    if plan.customer.locale == "fr":
        note = (
            f"Période du {period.first_day:%d/%m/%Y} au {period.last_day:%d/%m/%Y} – réf. {plan.customer.customer_id}"
        )
    else:
        note = f"{period.first_day} – {period.last_day} / {plan.customer.customer_id}"
    return {"headerNote": note}


def timeline_body(plan: PlannedInvoice, day: dt.date) -> dict[str, Any]:
    """`emittedAt` is midnight in Paris of `day`, the day of finalization."""
    return {"emittedAt": midnight(day), "paymentDelay": plan.customer.payment_delay}


def midnight(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(), PARIS).timestamp())


@dataclass(frozen=True, slots=True)
class Document:
    """An invoice or credit note as the API has it. Totals in whole cents; `state` is draft or finalized."""

    identifier: str
    state: str
    number: str | None
    finalized_at: str | None
    currency: str | None
    total_ht: int
    total_ttc: int
    line_amounts: tuple[int, ...]


def identifier_in(content: Any) -> str | None:
    """The id of a created document; None where the answer does not tell it."""
    return _name(content.get("id")) if isinstance(content, Mapping) else None


def _name(value: Any) -> str | None:
    """A number or an id that can be written down and shown; None otherwise."""
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if text and text.isprintable() and len(text) <= _LONGEST_NAME else None


def document_in(content: Any, where: str) -> Document:
    """SourceError naming the member that is missing or of another kind."""
    if not isinstance(content, Mapping):
        raise SourceError(f"{where}: the answer is no document; is base_url the invoicing API's?")
    total = content.get("total")
    if not isinstance(total, Mapping):
        raise SourceError(f"{where}: the document has no 'total'")
    number = _name(content.get("number"))
    finalized_at = _instant(content.get("finalizedAt"))
    lines = content.get("lines")
    identifier = identifier_in(content)
    if identifier is None:
        raise SourceError(f"{where}: the document has no 'id'")
    return Document(
        identifier=identifier,
        state=_state(content.get("state"), number, finalized_at, where),
        number=number,
        finalized_at=finalized_at,
        currency=_name(content.get("currencyCode")),
        total_ht=_cents(total, "amountWithoutTaxAfterDiscount", where),
        total_ttc=_cents(total, "amountWithTaxAfterDiscount", where),
        line_amounts=tuple(
            _cents(line, "priceWithoutTaxAfterDiscount", where)
            for line in (lines if isinstance(lines, list) else [])
            if isinstance(line, Mapping)
        ),
    )


def _state(state: Any, number: str | None, finalized_at: str | None, where: str) -> str:
    """By its name; where a number stands for it, by what only a finalized document has."""
    if isinstance(state, str) and state in _FINAL:
        return FINALIZED
    if state == DRAFT:
        return DRAFT
    if isinstance(state, int | Decimal) and not isinstance(state, bool) and bool(number) == bool(finalized_at):
        return FINALIZED if number else DRAFT
    raise SourceError(
        f"{where}: the document's state {one_line(state)!r} is neither draft nor finalized; look at it there"
    )


def _instant(seconds: Any) -> str | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | Decimal | str) or not seconds:
        return None
    try:
        return dt.datetime.fromtimestamp(int(Decimal(seconds)), dt.UTC).isoformat()
    except (ArithmeticError, ValueError, OverflowError, OSError):
        return None


def _cents(content: Mapping[str, Any], name: str, where: str) -> int:
    """A whole number of cents, also where it comes as a text or with decimals that are zero."""
    value = content.get(name)
    try:
        exact = Decimal(value) if isinstance(value, int | str | Decimal) and not isinstance(value, bool) else None
    except ArithmeticError:
        exact = None
    if exact is None or not exact.is_finite() or exact != exact.to_integral_value():
        raise SourceError(f"{where}: {name!r} is no whole number of cents")
    return int(exact)


def disagreement(document: Document, plan: PlannedInvoice) -> str | None:
    """Why the document is not what was planned, amounts in the invoice's currency; None when it is."""
    if document.currency != plan.currency:
        return f"it is in {one_line(document.currency)}, ours is in {plan.currency}"
    if document.total_ht != plan.total:
        return f"its total HT is {euros(document.total_ht)}, ours {euros(plan.total)}"
    if sorted(document.line_amounts) != sorted(line.unit_price for line in plan.lines):
        return "its lines are not ours, though they add up to the same"
    accepted = accepted_ttc(plan)
    if document.total_ttc not in accepted:
        told = " or ".join(euros(one) for one in sorted(accepted))
        return f"its total TTC is {euros(document.total_ttc)}, expected {told}"
    return None


def accepted_ttc(plan: PlannedInvoice) -> set[int]:
    """Totals including tax in cents under rounding per line and per rate, ties away from zero."""
    rate = VAT_RATES[plan.customer.vat_code]
    return {plan.total + sum(_tax(line.unit_price, rate) for line in plan.lines), plan.total + _tax(plan.total, rate)}


def _tax(cents: int, rate: int) -> int:
    return int(divide_half_up(cents * rate, 10_000, Decimal(1)))


def euros(cents: int) -> str:
    """Whole cents as an amount with two decimals."""
    return f"{Decimal(cents).scaleb(-2):.2f}"
