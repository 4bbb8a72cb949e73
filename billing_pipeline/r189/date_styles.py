"""What a date or month cell means under each style of R189 files. Month names are English, of three letters."""

import datetime as dt
import re
from functools import lru_cache

from billing_pipeline.config import ChargeMonthFormat, DateFormat

_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NUMBERS = {name: number for number, name in enumerate(_NAMES, start=1)}
_DATES = {
    DateFormat.ISO: re.compile(r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})"),
    DateFormat.DAY_FIRST: re.compile(r"(?P<d>[0-9]{2})/(?P<m>[0-9]{2})/(?P<y>[0-9]{4})"),
    DateFormat.MONTH_FIRST: re.compile(r"(?P<m>[0-9]{2})/(?P<d>[0-9]{2})/(?P<y>[0-9]{4})"),
    DateFormat.DAY_MONTH_NAME: re.compile(r"(?P<d>[0-9]{2})-(?P<m>[A-Za-z]{3})-(?P<y>[0-9]{4})"),
    DateFormat.COMPACT: re.compile(r"(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})"),
}
_MONTHS = {
    ChargeMonthFormat.ISO: re.compile(r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})"),
    ChargeMonthFormat.COMPACT: re.compile(r"(?P<y>[0-9]{4})(?P<m>[0-9]{2})"),
    ChargeMonthFormat.MONTH_FIRST: re.compile(r"(?P<m>[0-9]{2})/(?P<y>[0-9]{4})"),
    ChargeMonthFormat.MONTH_NAME: re.compile(r"(?P<m>[A-Za-z]{3})-(?P<y>[0-9]{2})"),
}
DATE_WORDS = {
    DateFormat.ISO: "YYYY-MM-DD",
    DateFormat.DAY_FIRST: "DD/MM/YYYY",
    DateFormat.MONTH_FIRST: "MM/DD/YYYY",
    DateFormat.DAY_MONTH_NAME: "DD-MON-YYYY",
    DateFormat.COMPACT: "YYYYMMDD",
}
MONTH_WORDS = {
    ChargeMonthFormat.ISO: "YYYY-MM",
    ChargeMonthFormat.COMPACT: "YYYYMM",
    ChargeMonthFormat.MONTH_FIRST: "MM/YYYY",
    ChargeMonthFormat.MONTH_NAME: "MON-YY",
}


def _month_number(text: str) -> int:
    return int(text) if text.isdigit() else _MONTH_NUMBERS.get(text.lower(), 0)


# An R189 file holds some thousand distinct days, met again in every block and column.
@lru_cache(maxsize=65_536)
def read_date(cell: str, style: DateFormat) -> dt.date | None:
    """The day a trimmed cell means under `style`; None where the style does not read it or the day does not exist."""
    match = _DATES[style].fullmatch(cell)
    if match is None:
        return None
    try:
        return dt.date(int(match["y"]), _month_number(match["m"]), int(match["d"]))
    except ValueError:
        return None


@lru_cache(maxsize=65_536)
def read_month(cell: str, style: ChargeMonthFormat) -> str | None:
    """The month `YYYY-MM` a trimmed cell means under `style`, else None. Two digits of a year are 20YY."""
    match = _MONTHS[style].fullmatch(cell)
    if match is None:
        return None
    year = int(match["y"]) + (2000 if len(match["y"]) == 2 else 0)
    month = _month_number(match["m"])
    return f"{year:04d}-{month:02d}" if year and 1 <= month <= 12 else None
