"""JSON whose numbers are the decimals they were: written digit by digit, never through a float."""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any


def plain_decimal(value: Decimal) -> str:
    """At least two decimals, more where the value has them: 12450 → `12450.00`, 0.500000 → `0.50`, 18.3349 as it is."""
    if not value.is_finite():
        raise ValueError(f"{value} is not a number that can be written")
    whole, _, decimals = f"{value:f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def exact_json(value: Any, *, indented: bool = False) -> str:
    """Text of dicts, lists, strings, integers, booleans, None and Decimals; the latter as numbers, see plain_decimal.

    A Decimal that is no finite number is a ValueError, for JSON has no word for it; a float is a TypeError.
    """
    return _text(value, "\n" if indented else "")


def _text(value: Any, margin: str) -> str:
    if isinstance(value, Decimal):
        return plain_decimal(value)
    if isinstance(value, dict):
        return _joined("{}", [(f"{json.dumps(key, ensure_ascii=False)}: ", one) for key, one in value.items()], margin)
    if isinstance(value, list | tuple):
        return _joined("[]", [("", one) for one in value], margin)
    if value is None or isinstance(value, str | int):
        return json.dumps(value, ensure_ascii=False)
    raise TypeError(f"{type(value).__name__} has no exact JSON form")


def _joined(brackets: str, members: Iterable[tuple[str, Any]], margin: str) -> str:
    inner = margin + "  " if margin else ""
    parts = [inner + label + _text(one, inner) for label, one in members]
    if not parts:
        return brackets
    return brackets[0] + ("," if margin else ", ").join(parts) + margin + brackets[1]
