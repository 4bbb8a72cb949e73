"""How the reference rounds: exact fractions in, decimals out. Nothing else."""

from decimal import Decimal
from fractions import Fraction


def half_up(value: Fraction, decimals: int = 2) -> Decimal:
    """`value` with `decimals` decimals, ties away from zero: -0.005 → -0.01."""
    scaled = abs(value) * 10**decimals
    whole = int(scaled)
    if scaled - whole >= Fraction(1, 2):
        whole += 1
    return Decimal(whole if value >= 0 else -whole).scaleb(-decimals)
