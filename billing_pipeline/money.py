"""One door for money: how a cent is rounded and how an amount is written. Decimals in, decimals out, never a float.

The second half is the same rounding for columns of an Ibis table; it needs only the expressions it is handed, so that
importing this module stays cheap.
"""

from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ibis.expr.types import DecimalValue, NumericValue

CENT = Decimal("0.01")
# Wide enough for any product met here: 12 integer digits x 6 decimals x 366 days x a percentage with 6 decimals.
_WIDE = Context(prec=60, rounding=ROUND_HALF_UP)
_NARROW_NO_BREAK_SPACE = "\u202f"


def round_half_up(amount: Decimal, step: Decimal = CENT) -> Decimal:
    """`amount` rounded to a multiple of `step` (a power of ten), ties away from zero: -0.005 → -0.01."""
    return amount.quantize(step, context=_WIDE)


def divide_half_up(numerator: Decimal | int, denominator: Decimal | int, step: Decimal = CENT) -> Decimal:
    """`numerator / denominator` rounded once, exactly, ties away from zero. A zero denominator is an error."""
    ratio = Fraction(numerator) / (Fraction(denominator) * Fraction(step))
    steps = (2 * abs(ratio.numerator) + ratio.denominator) // (2 * ratio.denominator)
    return _WIDE.multiply(Decimal(steps if ratio >= 0 else -steps), step)


def french_amount(amount: Decimal, currency: str = "EUR") -> str:
    """`Decimal("-1234.5")` → `1 234,50 €`: absolute, comma, U+202F between thousands, at least two decimals."""
    digits = f"{abs(amount):f}"
    whole, _, decimals = digits.partition(".")
    decimals = decimals.rstrip("0").ljust(2, "0")
    groups = f"{int(whole):,}".replace(",", _NARROW_NO_BREAK_SPACE)
    return f"{groups},{decimals} {'€' if currency == 'EUR' else currency}"


def _scale(amount: "NumericValue") -> int:
    """Decimals of the column's type; 0 for whole numbers."""
    dtype = amount.type()
    return int(dtype.scale) if dtype.is_decimal() else 0


def _whole(amount: "NumericValue", power: int) -> "DecimalValue":
    """`amount` x 10^`power` as decimal(38, 0); exact where no decimal is left behind the point."""
    wide = amount.cast(f"decimal(38, {_scale(amount)})")
    return (wide * 10**power).cast("decimal(38, 0)") if power else wide.cast("decimal(38, 0)")


def whole_millionths(amount: "NumericValue") -> "DecimalValue":
    """A column of at most 6 decimals as a whole number of millionths, decimal(38, 0), so that products are exact.

    Ibis types a product of decimals by its left operand, engines by the sum of the scales; whole numbers have no
    scale to disagree on.
    """
    return _whole(amount, 6)


def whole_cents(amount: "NumericValue") -> "DecimalValue":
    """A column of amounts in cents (no further decimals) as a whole number of cents, decimal(38, 0)."""
    return _whole(amount, 2)


def round_ratio(numerator: "NumericValue", denominator: "NumericValue") -> "DecimalValue":
    """`numerator / denominator` of Ibis columns, rounded once to 0.01, ties away from zero; decimal(18, 6).

    Operands are integers or decimals of known scale, the denominator is not negative; 0 or null gives null. Exact while
    twice the numerator and the denominator, both as whole numbers of one unit, stay below 10^38 and the result below
    10^12. The widest operands met here: a month's priced days of 3.1e19 millionths x a discount factor of 1e8 x 100
    for cents = 3.1e29 over 31e14; a billed amount of 1e18 millionths x an expected one of 1e14 cents = 1e32 over 1e18.

    The engine's `/` only ever meets an exact multiple of its divisor: a quotient below 10^15 cents comes out of a
    double at most 3 x 2^-53 x 10^15 = 0.33 away (Spark divides decimals exactly), and the cast to a whole number
    restores it.
    """
    shift = 2 + _scale(denominator) - _scale(numerator)
    dividend = _whole(numerator, _scale(numerator) + max(shift, 0))
    divisor = _whole(denominator, _scale(denominator) + max(-shift, 0)).nullif(0)
    doubled, step = dividend.abs() * 2 + divisor, divisor * 2
    multiple = doubled - doubled % step
    cents = (multiple / step).cast("decimal(38, 0)") * dividend.sign()
    return (cents.cast("decimal(38, 2)") * CENT).cast("decimal(18, 6)")
