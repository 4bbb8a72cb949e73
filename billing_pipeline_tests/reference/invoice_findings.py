"""Contradictions inside an invoice, seen without the inventory. No verdict depends on them but the invoice's status."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from billing_pipeline_tests.reference.exact import half_up
from billing_pipeline_tests.reference.records import Finding, Line

CENT = Decimal("0.01")
KEPT_DECIMALS = 6  # as the registry keeps an expected figure


def findings_of(lines: Sequence[Line]) -> list[Finding]:
    """All findings of the lines of charge files, which declare no invoice totals and no line counts of their own."""
    found: list[Finding] = []
    for invoice in sorted({line.invoice_id for line in lines}):
        own = [line for line in lines if line.invoice_id == invoice]
        for line in sorted(own, key=lambda line: line.ids):
            found.extend(arithmetic(line))
        found.extend(footing(invoice, own))
        found.extend(vat(invoice, own))
    return found


def arithmetic(line: Line) -> list[Finding]:
    """LINE_ARITHMETIC: quantity × unit price against the total, Pre-discount × Discount % against the discount."""
    found = []
    if line.quantity is not None and line.unit_price_ht is not None:
        product = Fraction(line.quantity) * Fraction(line.unit_price_ht)
        found.extend(_line_finding(line, "quantity", product, line.total_ht))
    if line.pre_discount_amount is not None and line.discount_percent is not None and line.discount_amount is not None:
        product = Fraction(line.pre_discount_amount) * Fraction(line.discount_percent) / 100
        found.extend(_line_finding(line, "discount", product, line.discount_amount))
    return found


def _line_finding(line: Line, subject: str, expected: Fraction, actual: Decimal) -> list[Finding]:
    if abs(Fraction(actual) - expected) <= Fraction(CENT):
        return []
    return [
        Finding(
            invoice_id=line.invoice_id,
            line_id=line.line_id,
            code="LINE_ARITHMETIC",
            subject=subject,
            expected=half_up(expected, KEPT_DECIMALS),
            actual=actual,
        )
    ]


def footing(invoice: str, lines: Sequence[Line]) -> list[Finding]:
    """INVOICE_FOOTING of HT + tax against TTC, where every line of the invoice states all three."""
    expected, actual = Decimal(0), Decimal(0)
    for line in lines:
        if line.tax_amount is None or line.total_ttc is None:
            return []
        expected += line.total_ht + line.tax_amount
        actual += line.total_ttc
    if abs(actual - expected) <= CENT * len(lines):
        return []
    return [
        Finding(invoice_id=invoice, line_id="", code="INVOICE_FOOTING", subject="ttc", expected=expected, actual=actual)
    ]


def vat(invoice: str, lines: Sequence[Line]) -> list[Finding]:
    """VAT_AMOUNT per rate: base × rate on the summed base against the tax; rounding line by line is as good."""
    found = []
    rates = sorted({line.tax_rate for line in lines if line.tax_rate is not None and line.tax_amount is not None})
    for rate in rates:
        at_rate = [line for line in lines if line.tax_rate == rate and line.tax_amount is not None]
        actual = sum((line.tax_amount for line in at_rate if line.tax_amount is not None), Decimal(0))
        of_sum = half_up(sum((Fraction(line.total_ht) for line in at_rate), Fraction(0)) * Fraction(rate) / 100)
        by_line = sum((half_up(Fraction(line.total_ht) * Fraction(rate) / 100) for line in at_rate), Decimal(0))
        tolerance = CENT * len(at_rate)
        if abs(actual - of_sum) > tolerance and abs(actual - by_line) > tolerance:
            subject = f"rate={rate.normalize():f}"
            found.append(
                Finding(
                    invoice_id=invoice, line_id="", code="VAT_AMOUNT", subject=subject, expected=of_sum, actual=actual
                )
            )
    return found
