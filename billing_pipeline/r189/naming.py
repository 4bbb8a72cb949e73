"""What a charge file's name says: its month, and its place among versions of a delivery. No file is opened here."""

import re
from collections.abc import Mapping
from pathlib import PurePath

from billing_pipeline.errors import RefusedFile
from billing_pipeline.periods import Period

# The lookahead lets candidates overlap, so that `1990-2024-03` still shows its 2024-03.
_MONTH = re.compile(r"(?<!\d)(?=((?:199\d|20\d\d)-?(?:0[1-9]|1[0-2]))(?!\d))", re.ASCII)
_SUFFIX = re.compile(r"(\.csv)?(\.gz)?\Z", re.IGNORECASE)
_DIGITS = re.compile(r"([0-9]+)")

NaturalKey = tuple[tuple[tuple[str, int], ...], str]


def stem(name: str) -> str:
    """The file's name without folder, `.csv` and `.gz`: `in/x.csv.gz` → `x`."""
    return _SUFFIX.sub("", PurePath(name).name, count=1)


def period_in_name(name: str) -> Period | None:
    """The month a name states as `YYYY-MM` or `YYYYMM` (1990 to 2099) touching no other digit.

    None where it states none. RefusedFile where it states two different ones.
    """
    found = {match[1].replace("-", "") for match in _MONTH.finditer(PurePath(name).name)}
    if len(found) > 1:
        months = " and ".join(f"{text[:4]}-{text[4:]}" for text in sorted(found))
        raise RefusedFile(f"{name}: its name states the months {months}; rename the file so that it states one")
    if not found:
        return None
    text = found.pop()
    return Period(int(text[:4]), int(text[4:]))


def natural_key(stem: str) -> NaturalKey:
    """A sort key by which numbers count as numbers: `x_v2` before `x_v10`. Total: different stems never tie."""
    parts = [*_DIGITS.split(stem.casefold()), ""]
    pairs = tuple((parts[at], int(parts[at + 1] or -1)) for at in range(0, len(parts), 2))
    return pairs, stem


def file_period(name: str, charge_months: Mapping[str, int]) -> tuple[Period | None, bool]:
    """(the file's period, whether its rows unanimously state another month than its name).

    `charge_months` counts the loaded rows by Charge Month `YYYY-MM`; an empty month has no vote. The name counts
    first, then the rows where they agree; None where neither tells. RefusedFile as for `period_in_name`.
    """
    named = period_in_name(name)
    voted = [month for month, rows in charge_months.items() if month and rows > 0]
    unanimous = Period.parse(voted[0]) if len(voted) == 1 else None
    if named is None:
        return unanimous, False
    return named, unanimous is not None and unanimous != named
