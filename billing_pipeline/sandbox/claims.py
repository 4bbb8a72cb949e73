"""What the generated reseller paid and disputed: its payments.csv and disputes.csv. The errors it disputes are stories.py's.

The last month is neither paid nor disputed yet, so that whoever runs the demo has something left to claim.
"""

import itertools
from collections.abc import Iterator
from datetime import timedelta

from billing_pipeline.config import DocumentType
from billing_pipeline.money import divide_half_up
from billing_pipeline.sandbox.reseller import Injection, Reseller

PAYMENT_COLUMNS = ("operator_code", "invoice_id", "paid_on")
DISPUTE_COLUMNS = ("operator_code", "period", "item_id", "sent_on", "reference", "status", "credited_amount")
_PAID_AFTER = timedelta(days=20)
# How one dispute after the other is answered: not yet, with half of it, not at all, with all of it.
_ANSWERS = ("sent", "accepted half", "refused", "accepted")
_DISPUTES_PER_OPERATOR = 3


def payments(reseller: Reseller) -> Iterator[tuple[str, ...]]:
    """Every invoice but the last month's, twenty days after it was issued; credit notes are not paid."""
    for operator in reseller.operators:
        for period in reseller.periods[:-1]:
            for invoice in reseller.invoices[operator.code, period]:
                if invoice.document_type is DocumentType.INVOICE:
                    yield operator.code, invoice.invoice_id, (invoice.issued_on + _PAID_AFTER).isoformat()


def disputes(reseller: Reseller) -> Iterator[tuple[str, ...]]:
    """Some overcharges of the first month per operator, each answered another way."""
    answers = itertools.cycle(_ANSWERS)
    for operator in reseller.operators:
        for period in reseller.periods[:-1][:1]:
            overcharged = [
                one
                for one in reseller.injected
                if (one.operator_code, one.period) == (operator.code, period) and _is_overcharge(one)
            ]
            sent_on = period.shift(1).first_day + timedelta(days=26)
            for number, injection in enumerate(overcharged[:_DISPUTES_PER_OPERATOR], start=1):
                reference = f"{operator.prefix}-{period.year}{period.month:02d}-{number:03d}"
                status, credited = _answer(injection, next(answers))
                yield (
                    operator.code, str(period), injection.subject, sent_on.isoformat(), reference, status, credited,
                )  # fmt: skip


def _is_overcharge(injection: Injection) -> bool:
    return (
        injection.status == "DISCREPANCY"
        and injection.subject.startswith("service:")
        and injection.difference is not None
        and injection.difference > 0
    )


def _answer(injection: Injection, answer: str) -> tuple[str, str]:
    assert injection.difference is not None  # an overcharge has one
    credited = {"accepted": injection.difference, "accepted half": divide_half_up(injection.difference, 2)}.get(answer)
    return answer.partition(" ")[0], "" if credited is None else f"{credited:f}"
