"""What a number cell means: the two styles of R189 files and the cast to exact decimals. Never a float.

Style `.`: decimal point, groups of three by comma. Style `,`: decimal comma, groups of three by space, U+00A0 or
U+202F. Both: one sign before or after, or parentheses for a negative, spaces beside them allowed. The first group never begins with 0, so that
`0,500` has one reading. `12.` and `1e3` are no numbers.
"""

import re
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

STYLES = (".", ",")
INTEGER_DIGITS = 12
MONEY_DECIMALS = 6
RATE_DECIMALS = 12

# Why a cell has no value; 0 is a cell that has one (or is blank).
READ, UNREADABLE, TOO_FINE, TOO_LARGE = 0, 1, 2, 3

_BODIES = {
    ".": (r"[0-9]+|[1-9][0-9]{0,2}(?:,[0-9]{3})+", r"\."),
    ",": (r"[0-9]+|[1-9][0-9]{0,2}(?:[ \u00a0\u202f][0-9]{3})+", ","),
}
_NUMBERS = {
    style: re.compile(
        rf"(?P<before>[+-]\s*)?(?P<open>\(\s*)?(?:(?P<whole>{whole})(?:{point}(?P<part>[0-9]+))?|{point}(?P<only>[0-9]+))"
        rf"(?(open)\s*\))(?P<after>\s*[+-])?"
    )
    for style, (whole, point) in _BODIES.items()
}
_GROUP_MARK = {".": ",", ",": r"[ \x{a0}\x{202f}]"}
_GROUP_MARKS = str.maketrans("", "", ", \u00a0\u202f")


def number_parts(cell: str, style: str) -> tuple[bool, str, str] | None:
    """(negative, integer digits without leading zeros, decimals) of a trimmed cell; None where the style has no reading."""
    match = _NUMBERS[style].fullmatch(cell)
    if match is None:
        return None
    marks = [mark for mark in (match["before"], match["open"], match["after"]) if mark]
    if len(marks) > 1:
        return None
    whole = (match["whole"] or "").translate(_GROUP_MARKS).lstrip("0")
    return bool(marks) and marks[0].strip() != "+", whole, match["part"] or match["only"] or ""


def read_number(cell: str, style: str, decimals: int = MONEY_DECIMALS) -> tuple[Decimal | None, int]:
    """(value, why there is none) of one trimmed cell with at most `decimals` decimals and 12 integer digits."""
    parts = number_parts(cell, style)
    if parts is None:
        return None, UNREADABLE
    negative, whole, part = parts
    if len(whole) > INTEGER_DIGITS:
        return None, TOO_LARGE
    if len(part) > decimals:
        return None, TOO_FINE
    return Decimal(f"{'-' if negative else ''}{whole or '0'}.{part or '0'}"), READ


def cast_numbers(
    cells: pa.StringArray, style: str, kind: pa.DataType, decimals: int
) -> tuple[pa.Array, npt.NDArray[np.int8]]:
    """(decimals of type `kind`, why each has no value) of trimmed cells; blank and null cells are null and READ.

    Plain and grouped cells are cast by Arrow, 40 ns each; the other forms of negatives and what is no number go through
    `read_number`, 2 µs each.
    """
    tail = rf"({re.escape(style)}[0-9]{{1,{decimals}}})?$"
    mark = _GROUP_MARK[style]
    plain = pc.match_substring_regex(cells, rf"^[+-]?[0-9]{{1,{INTEGER_DIGITS}}}{tail}")
    texts = cells
    if not pc.all(plain).as_py():
        grouped = pc.match_substring_regex(cells, rf"^[+-]?[1-9][0-9]{{0,2}}({mark}[0-9]{{3}}){{1,3}}{tail}")
        texts = pc.if_else(grouped, pc.replace_substring_regex(cells, mark, ""), cells)
        plain = pc.or_(plain, grouped)
    texts = pc.if_else(plain, texts, pa.scalar(None, pa.string()))
    if style == ",":
        texts = pc.replace_substring(texts, ",", ".")
    values = pc.cast(texts, kind)
    why = np.zeros(len(cells), np.int8)
    others = np.flatnonzero(~pc.fill_null(plain, True).to_numpy(zero_copy_only=False))
    if others.size == 0:
        return values, why
    exact: list[Decimal | None] = []
    for at, cell in zip(others.tolist(), cells.take(pa.array(others)).to_pylist(), strict=True):
        value, why[at] = (None, READ) if cell == "" else read_number(cell, style, decimals)
        exact.append(value)
    mask = np.zeros(len(cells), bool)
    mask[others] = True
    return pc.replace_with_mask(values, pa.array(mask), pa.array(exact, kind)), why
