"""What a cell of an R189 file may look like, and which style a whole file uses. Rows and their rules are in r189.py."""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TypeVar

from billing_pipeline.config import ChargeMonthFormat, DateFormat
from billing_pipeline_tests.reference.r189_text import Refused

Style = TypeVar("Style")
Value = TypeVar("Value")

_POINT = re.compile(r"(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?")
_COMMA = re.compile("(?:\\d+|\\d{1,3}(?:[ \u00a0\u202f]\\d{3})+)(?:,\\d+)?")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DATES = {
    DateFormat.ISO: r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})",
    DateFormat.DAY_FIRST: r"(?P<d>\d{2})/(?P<m>\d{2})/(?P<y>\d{4})",
    DateFormat.MONTH_FIRST: r"(?P<m>\d{2})/(?P<d>\d{2})/(?P<y>\d{4})",
    DateFormat.DAY_MONTH_NAME: r"(?P<d>\d{2})-(?P<b>[A-Za-z]{3})-(?P<y>\d{4})",
    DateFormat.COMPACT: r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})",
}
_CHARGE_MONTHS = {
    ChargeMonthFormat.ISO: r"(?P<y>\d{4})-(?P<m>\d{2})",
    ChargeMonthFormat.COMPACT: r"(?P<y>\d{4})(?P<m>\d{2})",
    ChargeMonthFormat.MONTH_FIRST: r"(?P<m>\d{2})/(?P<y>\d{4})",
    ChargeMonthFormat.MONTH_NAME: r"(?P<b>[A-Za-z]{3})-(?P<y>\d{2})",
}


def read_number(text: str, decimal: str) -> Decimal | None:
    """The number, or None where the style (`.` or `,` before the decimals) does not read it."""
    body, negative = text.strip(), False
    if body.startswith("(") and body.endswith(")"):
        body, negative = body[1:-1].strip(), True
    elif body[:1] in ("+", "-"):
        body, negative = body[1:].strip(), body[0] == "-"
    elif body[-1:] in ("+", "-"):
        body, negative = body[:-1].strip(), body[-1] == "-"
    if decimal == ".":
        if not _POINT.fullmatch(body):
            return None
        plain = body.replace(",", "")
    else:
        if not _COMMA.fullmatch(body):
            return None
        plain = re.sub(r"\s", "", body).replace(",", ".")
    return -Decimal(plain) if negative else Decimal(plain)


def _parts(pattern: str, text: str) -> tuple[int, int, int] | None:
    match = re.fullmatch(pattern, text.strip())
    if match is None:
        return None
    parts = match.groupdict()
    if "b" in parts:
        if parts["b"].upper() not in _MONTHS:
            return None
        month = _MONTHS.index(parts["b"].upper()) + 1
    else:
        month = int(parts["m"])
    year = int(parts["y"]) + (2000 if len(parts["y"]) == 2 else 0)
    return year, month, int(parts.get("d") or 1)


def read_date(text: str, style: DateFormat) -> dt.date | None:
    parts = _parts(_DATES[style], text)
    try:
        return None if parts is None else dt.date(*parts)
    except ValueError:
        return None


def read_month(text: str, style: ChargeMonthFormat) -> str | None:
    parts = _parts(_CHARGE_MONTHS[style], text)
    if parts is None or not 1 <= parts[1] <= 12 or parts[0] < 1:
        return None
    return f"{parts[0]:04d}-{parts[1]:02d}"


def one_style(
    what: str, cells: Iterable[str], styles: Sequence[Style], read: Callable[[str, Style], Value | None]
) -> Style:
    """The one style of a file, from all its cells; Refused where two fit with different values, or where they mix."""
    possible = set(styles)
    decided: dict[Style, str] = {}
    readings = []
    for cell in cells:
        values = {style: value for style in styles if (value := read(cell, style)) is not None}
        if not values:
            continue  # its row is rejected
        readings.append((cell, values))
        possible &= set(values)
        if len(values) == 1:
            decided.setdefault(next(iter(values)), cell)
    if not possible:
        raise Refused(f"mixes {what} styles, for example {sorted(decided.values())[:2]}")
    left = [style for style in styles if style in possible]
    for cell, values in readings:
        if len({values[style] for style in left}) > 1:
            raise Refused(f"its {what} cell {cell!r} can be read in two ways and no other cell decides")
    return left[0]
