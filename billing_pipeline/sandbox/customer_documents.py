"""The customer invoicing API's memory: drafts and finalized documents, their amounts, and what may still be done.

Amounts are whole cents, instants whole Unix seconds. VAT is rounded line by line, half away from zero. Nothing here
changes a finalized document; the only thing that follows from one is a credit note (`asset`) of its own.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billing_pipeline.money import divide_half_up
from billing_pipeline.periods import PARIS
from billing_pipeline.sandbox.customer_bodies import VAT_RATES

_DELAY_DAYS = {
    "at_reception": 0, "seven_days": 7, "ten_days": 10, "fifteen_days": 15, "thirty_days": 30, "forty_five_days": 45,
    "sixty_days": 60, "ninety_days": 90, "one_hundred_and_twenty_days": 120, "end_of_month": 0, "other": 0,
}  # fmt: skip
_NO_LINE = {"name": "hasLines", "message": "Le document doit contenir au moins une ligne."}
_NO_AMOUNT = {
    "name": "hasValidAmount",
    "message": "Le montant de la somme des avoirs ne peut pas être supérieur au montant total de la facture.",
}


class Forbidden(Exception):
    """The document's state does not allow it. `code` is the API's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True, kw_only=True)
class Document:
    """An invoice, or an asset of `parent`. `lines` are as sent; what they come to is derived."""

    identifier: str
    kind: str  # invoice or asset
    customer_id: str
    created_at: int
    updated_at: int
    emitted_at: int
    state: str = "draft"
    number: str | None = None
    title: str | None = None
    finalized_at: int | None = None
    locale: str = "fr"
    currency: str = "EUR"
    payment_delay: str = "thirty_days"
    custom_due_date: int | None = None
    delivery_date: int | None = None
    informations: dict[str, Any] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    parent: str | None = None


class CustomerDocuments:
    """Every document ever made, by id; deleted drafts in `deleted`. `clock` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.by_id: dict[str, Document] = {}
        self.deleted: dict[str, Document] = {}
        self._clock = clock
        self._numbers: dict[tuple[str, int], int] = {}

    def now(self) -> int:
        return int(self._clock())

    def create(self, customer_id: str) -> Document:
        """A draft invoice without lines, emitted now."""
        return self._new("invoice", customer_id)

    def _new(self, kind: str, customer_id: str) -> Document:
        now = self.now()
        made = Document(
            identifier=str(uuid.uuid4()), kind=kind, customer_id=customer_id, created_at=now, updated_at=now,
            emitted_at=now,
        )  # fmt: skip
        self.by_id[made.identifier] = made
        return made

    def change(self, document: Document, **values: Any) -> Document:
        """Sets the fields of a draft. Forbidden once it is finalized."""
        if document.state != "draft":
            raise Forbidden("document_finalized", f"{document.kind} {document.number} is finalized and cannot change")
        for name, value in values.items():
            setattr(document, name, value)
        document.updated_at = self.now()
        return document

    def finalize(self, document: Document) -> Document:
        """Gives the number; from here on nothing changes. Forbidden when a requirement is not met, or twice."""
        if document.state == "draft" and (missing := self.requirements(document)):
            raise Forbidden("requirements_not_met", missing[0]["message"])
        year = dt.datetime.fromtimestamp(document.emitted_at, PARIS).year
        prefix = "INV" if document.kind == "invoice" else "AV"
        ordinal = self._numbers.get((prefix, year), 0) + 1
        number = f"{prefix}-{year}-{ordinal:03d}"
        self.change(document, number=number, state="finalized", finalized_at=self.now())
        self._numbers[prefix, year] = ordinal
        return document

    def requirements(self, document: Document) -> list[dict[str, str]]:
        """What still keeps the document from being finalized."""
        missing = [] if document.lines else [_NO_LINE]
        if document.parent is not None:
            others = (one for one in self.by_id.values() if one.parent == document.parent and one.state == "finalized")
            credited = sum(total_of(one)["amountWithTaxAfterDiscount"] for one in (*others, document))
            if credited > total_of(self.by_id[document.parent])["amountWithTaxAfterDiscount"]:
                missing.append(_NO_AMOUNT)
        return missing

    def credit(self, invoice: Document) -> Document:
        """A draft asset with the lines of a finalized invoice."""
        if invoice.state != "finalized":
            raise Forbidden("document_not_finalized", "an asset is made from a finalized invoice; delete the draft")
        asset = self._new("asset", invoice.customer_id)
        asset.parent, asset.locale, asset.currency = invoice.identifier, invoice.locale, invoice.currency
        asset.lines = [dict(line) for line in invoice.lines]
        return asset

    def delete(self, document: Document) -> None:
        """Removes a draft for good."""
        self.change(document)
        self.deleted[document.identifier] = self.by_id.pop(document.identifier)


def line_amounts(line: Mapping[str, Any]) -> dict[str, int]:
    """Cents of one line: before discount, discount, after, VAT, with tax."""
    before = _cents(Decimal(line["quantity"]) * line["unitPrice"], 1)
    discount = line.get("discount")
    off = 0
    if discount and discount["mode"] == "PERCENTAGE":
        off = _cents(Decimal(before) * discount["amount"], 10_000)
    elif discount:
        off = min(discount["amount"], before)
    tax = _cents(Decimal(before - off) * VAT_RATES[line["vatCode"]], 10_000)
    return {
        "priceWithoutTaxBeforeDiscount": before, "discountAmount": off, "priceWithoutTaxAfterDiscount": before - off,
        "vatAmount": tax, "priceTotalTax": before - off + tax,
    }  # fmt: skip


def _cents(numerator: Decimal, denominator: int) -> int:
    return int(divide_half_up(numerator, denominator, Decimal(1)))


def total_of(document: Document) -> dict[str, Any]:
    """The document's sums in cents, VAT by code."""
    amounts = [line_amounts(line) for line in document.lines]
    before = sum(one["priceWithoutTaxBeforeDiscount"] for one in amounts)
    after = sum(one["priceWithoutTaxAfterDiscount"] for one in amounts)
    with_tax = sum(one["priceTotalTax"] for one in amounts)
    taxes: dict[str, int] = {}
    for line, one in zip(document.lines, amounts, strict=True):
        taxes[line["vatCode"]] = taxes.get(line["vatCode"], 0) + one["vatAmount"]
    return {
        "amountWithoutTaxBeforeDiscount": before,
        "amountWithoutTaxAfterDiscount": after,
        "amountWithTaxAfterDiscount": with_tax,
        "remainingAmountWithoutTax": after,
        "remainingAmountWithTax": with_tax,
        "remainingReconciliateAmount": with_tax,
        "discountAmount": before - after,
        "vatDetails": [
            {"vatCode": code, "amount": amount, "vatRate": Decimal(VAT_RATES[code]) / 100}
            for code, amount in sorted(taxes.items())
        ],
        "amountWithoutTaxBeforeDiscountWithoutDisbursement": before,
    }


def due_at(document: Document) -> int:
    """Midnight in Paris of the last day to pay, in Unix seconds."""
    if document.payment_delay == "other" and document.custom_due_date is not None:
        return document.custom_due_date
    day = dt.datetime.fromtimestamp(document.emitted_at, PARIS).date()
    day += dt.timedelta(days=_DELAY_DAYS[document.payment_delay.removesuffix("_end_of_month") or "other"])
    if document.payment_delay.endswith("end_of_month"):
        day = (day.replace(day=28) + dt.timedelta(days=4)).replace(day=1) - dt.timedelta(days=1)
    return int(dt.datetime.combine(day, dt.time(), PARIS).timestamp())
