"""When a billing period begins and ends, and which ones exist. No money, no files, no clock but `today`."""

import calendar
import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self
from zoneinfo import ZoneInfo

PARIS = ZoneInfo("Europe/Paris")
_PERIOD = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, order=True, slots=True)
class Period:
    """A calendar month in Europe/Paris. Ordered, hashable, written `YYYY-MM`."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`"2024-03"` → Period; anything else is a ValueError that says what was expected."""
        match = _PERIOD.fullmatch(text)
        if match is None or match[1] == "0000":
            raise ValueError(f"{text!r} is not a period; write YYYY-MM, for example 2024-03")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, day: dt.date) -> Self:
        return cls(day.year, day.month)

    @property
    def first_day(self) -> dt.date:
        return dt.date(self.year, self.month, 1)

    @property
    def last_day(self) -> dt.date:
        return dt.date(self.year, self.month, self.days)

    @property
    def days(self) -> int:
        """How many days the month has, 28 to 31."""
        return calendar.monthrange(self.year, self.month)[1]

    def shift(self, months: int) -> Self:
        index = self.year * 12 + self.month - 1 + months
        return type(self)(index // 12, index % 12 + 1)

    def through(self, last: "Period") -> Iterator["Period"]:
        """Every period from this one to `last`, both included; nothing when `last` is earlier."""
        period: Period = self
        while period <= last:
            yield period
            period = period.shift(1)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


def last_complete_period(now: dt.datetime | None = None) -> Period:
    """The month before the one it is now in Paris: the newest that an operator can have billed in full."""
    moment = dt.datetime.now(PARIS) if now is None else now.astimezone(PARIS)
    return Period.of(moment.date()).shift(-1)
