"""Single fields of an operator's JSON records: typed, or refused by their name. A value is never quoted in a message."""

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_INTEGER_DIGITS, _DECIMALS = 12, 6
_LARGEST_COUNT = 2**31 - 1  # what the column of a count holds


class Unreadable(ValueError):
    """A field that is missing or of the wrong type; the message names it, never its value."""


def decimal_field(record: Mapping[str, Any], name: str, *, required: bool = False) -> Decimal | None:
    """A number, or a text that holds one; KeyError when it must be there and is not."""
    value = record.get(name)
    if value is None:
        if required:
            raise KeyError(name)
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise Unreadable(f"{name!r} is not a number")
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise Unreadable(f"{name!r} is not a number")
    number = Decimal(value.strip() if isinstance(value, str) else value)
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or number.adjusted() >= _INTEGER_DIGITS:
        raise Unreadable(f"{name!r} has more than {_INTEGER_DIGITS} integer digits")
    if number != round(number, _DECIMALS):
        raise Unreadable(f"{name!r} has more than {_DECIMALS} decimals")
    return number


def text_field(record: Mapping[str, Any], name: str) -> str | None:
    value = record.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Unreadable(f"{name!r} is not a text")
    if not is_storable(value):
        raise Unreadable(f"{name!r} holds half of a surrogate pair, which is no character")
    return value if value.strip() else None


def is_storable(text: str) -> bool:
    r"""JSON can spell half of a surrogate pair (`"\ud800"`), and no file or database holds one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def count_field(record: Mapping[str, Any], name: str) -> int | None:
    value = record.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_COUNT:
        return value
    raise Unreadable(f"{name!r} is not a count")


def instant_field(record: Mapping[str, Any], name: str) -> dt.datetime | None:
    value = text_field(record, name)
    if value is None:
        return None
    try:
        instant = dt.datetime.fromisoformat(value)
    except ValueError:
        raise Unreadable(f"{name!r} is not an ISO 8601 instant") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)
