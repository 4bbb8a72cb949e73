"""Which column of a file is which: header names matched to the published ones. Values are not looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

from billing_pipeline.errors import RefusedFile
from billing_pipeline.schemas.r189 import R189_COLUMNS, REQUIRED_VALUES, SERVICE_KEYS

_PUBLISHED = {column.header.casefold(): column.header for column in R189_COLUMNS}
_PERIODS = ("Period from", "Period to")


@dataclass(frozen=True)
class Header:
    """`columns` maps published headers to positions from 0; `width` counts all fields of the header."""

    width: int
    columns: dict[str, int]
    absent: tuple[str, ...]
    extra: tuple[str, ...]


def match_header(names: Sequence[str], file_name: str) -> Header:
    """Match regardless of case, surrounding spaces and order.

    RefusedFile: a name twice, or a required column missing: the four whose values are required, Charge Month or both
    Period columns, and one column that names a service.
    """
    folded = [name.strip().casefold() for name in names]
    columns = {_PUBLISHED[name]: position for position, name in enumerate(folded) if name in _PUBLISHED}
    missing = [header for header in REQUIRED_VALUES if header not in columns]
    if "Charge Month" not in columns and not all(header in columns for header in _PERIODS):
        missing.append("Charge Month (or both Period from and Period to)")
    if not any(header in columns for header in SERVICE_KEYS):
        missing.append(f"one of {', '.join(SERVICE_KEYS)}")
    if missing:
        raise RefusedFile(
            f"{file_name}: the header lacks {'; '.join(missing)}; an R189 report begins with its header, "
            "its columns separated by ';'"
        )
    # Only now: a file without a header begins with a row, and no message may quote what stands in that.
    twice = next((name for name, known in zip(names, folded, strict=True) if known and folded.count(known) > 1), None)
    if twice is not None:
        raise RefusedFile(f"{file_name}: the header names {twice.strip()[:60]!r} twice; keep one of the two columns")
    extra = tuple(name.strip() for name, known in zip(names, folded, strict=True) if known not in _PUBLISHED)
    absent = tuple(column.header for column in R189_COLUMNS if column.header not in columns)
    return Header(len(names), columns, absent, extra)
