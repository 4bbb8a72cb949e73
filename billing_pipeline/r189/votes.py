"""How the cells of a file decide its styles. A vote sees distinct cells; where cells come from is detect.py's.

Every cell reads under some set of styles. The file's style must read every cell that any style reads, so it lies in
the intersection of those sets. An empty intersection is a mixed file; one style is the decision; several are harmless
where they agree on the value of every cell, and an undecidable file where they do not. Cells no style reads have no
vote: their rows are rejected when the file is read.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.config import ChargeMonthFormat, DateFormat
from billing_pipeline.errors import RefusedFile
from billing_pipeline.r189 import number_styles
from billing_pipeline.r189.date_styles import DATE_WORDS, MONTH_WORDS, read_date, read_month
from billing_pipeline.r189.profile import Origin
from billing_pipeline.r189.rejections import shown

Style = TypeVar("Style", bound=str)
# Finds where a distinct cell, given by its position among the distinct ones, stands first: (row, header).
Locate = Callable[[int], tuple[int, str]]
NUMBER_WORDS = {".": "a decimal point", ",": "a decimal comma"}

_GROUP = r"[1-9][0-9]{0,2}"
_ALIKE = (
    r"^[+-]?[0-9]+\.[0-9]+$",
    r"^[+-]?([0-9]+,([0-9]{1,2}|[0-9]{4,})|[0-9]{4,},[0-9]+|0[0-9]*,[0-9]+)$",
    rf"^[+-]?{_GROUP},[0-9]{{3}}$",
    rf"^[+-]?{_GROUP}(,[0-9]{{3}})+\.[0-9]+$",
    rf"^[+-]?{_GROUP}([ \x{{a0}}\x{{202f}}][0-9]{{3}})+(,[0-9]+)?$",
)


@dataclass(frozen=True, slots=True)
class Example:
    """A cell that shows something, and where it stands: row counted from 1 after the header, column by its header."""

    cell: str
    row: int
    column: str

    def __str__(self) -> str:
        return f"row {self.row} column '{self.column}' holds {shown(self.cell)}"


class StyleVote(Generic[Style]):
    """The vote on one setting `key` of the profile; `what` names the cells, `words` each style, in order of choice."""

    def __init__(self, what: str, key: str, words: Mapping[Style, str]) -> None:
        self._what = what
        self._key = key
        self._words = words
        self._examples: dict[tuple[frozenset[Style], bool], Example] = {}

    def count(self, readings: Mapping[Style, object], cell: str, at: int, locate: Locate) -> None:
        """One cell's vote: what each style that reads it makes of it."""
        if readings:
            differ = len(set(readings.values())) > 1
            if (ballot := (frozenset(readings), differ)) not in self._examples:
                self._examples[ballot] = Example(cell, *locate(at))

    def decide(self, name: str) -> tuple[Style, Origin]:
        """The file's style. RefusedFile where the cells are mixed, or where none decides and the readings differ."""
        left = self._left()
        if not left:
            raise RefusedFile(f"{name}: {self._mixed()}; {self._remedy()}")
        chosen = next(style for style in self._words if style in left)
        if len(left) == 1:
            return chosen, Origin.DETECTED
        for (styles, differ), example in self._examples.items():
            if differ and len(styles & left) > 1:
                first, second = [words for style, words in self._words.items() if style in left][:2]
                raise RefusedFile(
                    f"{name}: {self._what} fit two styles: {example}, which {first} and {second} read differently, "
                    f"and no other cell decides; {self._remedy()}"
                )
        return chosen, Origin.IRRELEVANT

    @property
    def settled(self) -> Style | None:
        """The only style left, which every cell it reads confirms; None while there are several, or none."""
        left = self._left()
        return next(iter(left)) if len(left) == 1 else None

    def _left(self) -> frozenset[Style]:
        return frozenset(self._words).intersection(*(styles for styles, _ in self._examples))

    def _mixed(self) -> str:
        """Two cells no style reads both; where three sets are disjoint only together, the two that agree least."""
        ballots = sorted(self._examples.items(), key=lambda one: len(one[0][0]))
        pairs = [(one, other) for at, one in enumerate(ballots) for other in ballots[at + 1 :]]
        (one, other) = min(pairs, key=lambda pair: len(pair[0][0][0] & pair[1][0][0]))
        return f"{self._what} are written in two styles: {self._said(*one)}, {self._said(*other)}"

    def _said(self, ballot: tuple[frozenset[Style], bool], example: Example) -> str:
        return f"{example} ({' or '.join(words for style, words in self._words.items() if style in ballot[0])})"

    def _remedy(self) -> str:
        values = " or ".join(f'"{style}"' for style in self._words)
        return f"set profile.{self._key} of this operator in billing.yaml to {values}"


class NumberVote(StyleVote[str]):
    """Numbers: whole plain cells agree under both styles and are passed over in bulk."""

    def __init__(self) -> None:
        super().__init__("numbers", "decimal", NUMBER_WORDS)

    def add(self, cells: pa.StringArray, locate: Locate) -> None:
        """Count distinct trimmed cells. All cells of one form of _ALIKE vote alike, so one of them is looked at."""
        left = pc.invert(pc.match_substring_regex(cells, r"^[+-]?[0-9]*$"))
        for form in _ALIKE:
            if not pc.any(left).as_py():
                return
            alike = pc.and_(left, pc.match_substring_regex(cells, form))
            first = pc.index(alike, True).as_py()
            if first >= 0:
                self._count_exactly([first], cells, locate)
                left = pc.and_not(left, alike)
        self._count_exactly(pc.indices_nonzero(left).to_pylist(), cells, locate)

    def _count_exactly(self, positions: Iterable[int], cells: pa.StringArray, locate: Locate) -> None:
        for at in positions:
            cell = cells[at].as_py()
            read = {style: number_styles.number_parts(cell, style) for style in number_styles.STYLES}
            self.count({style: parts for style, parts in read.items() if parts is not None}, cell, at, locate)


# A file holds some thousand distinct days, met again in every block and column; hostile ones may hold more.
_MOST_REMEMBERED = 65_536


class DateVote(StyleVote[DateFormat]):
    def __init__(self) -> None:
        super().__init__("dates", "date_format", DATE_WORDS)
        self._counted: set[str] = set()

    def add(self, cells: pa.StringArray, locate: Locate) -> None:
        for at, cell in enumerate(cells.to_pylist()):
            if cell in self._counted:
                continue
            if len(self._counted) < _MOST_REMEMBERED:
                self._counted.add(cell)
            read = {style: read_date(cell, style) for style in DateFormat}
            self.count({style: day for style, day in read.items() if day is not None}, cell, at, locate)


class MonthVote(StyleVote[ChargeMonthFormat]):
    def __init__(self) -> None:
        super().__init__("charge months", "charge_month_format", MONTH_WORDS)

    def add(self, cells: pa.StringArray, locate: Locate) -> None:
        for at, cell in enumerate(cells.to_pylist()):
            read = {style: read_month(cell, style) for style in ChargeMonthFormat}
            self.count({style: month for style, month in read.items() if month is not None}, cell, at, locate)


class TaxRateVote:
    """Percent or fraction. A rate above 1, or with a percent sign and not 0, says percent; all in 0 to 1, fraction.

    Kept per number style, because which one applies is known only at the end.
    """

    def __init__(self) -> None:
        self._percent = dict.fromkeys(number_styles.STYLES, False)
        self._small = dict.fromkeys(number_styles.STYLES, False)

    def add(self, cells: pa.StringArray, styles: Sequence[str] = number_styles.STYLES) -> None:
        for cell in cells.to_pylist():
            number, signed = without_percent_sign(cell)
            for style in styles:
                parts = number_styles.number_parts(number, style)
                if parts is None:
                    continue
                _, whole, part = parts
                zero = not whole and not part.strip("0")
                above_one = whole not in ("", "1") or (whole == "1" and bool(part.strip("0")))
                self._percent[style] |= above_one or (signed and not zero)
                self._small[style] |= not zero

    def says_percent(self, style: str) -> bool:
        """Whether a cell read so far can only be a percentage: then no other cell changes that."""
        return self._percent[style]

    def decide(self, style: str) -> tuple[str, Origin]:
        if self._percent[style]:
            return "percent", Origin.DETECTED
        return ("fraction", Origin.DETECTED) if self._small[style] else ("percent", Origin.IRRELEVANT)


def without_percent_sign(cell: str) -> tuple[str, bool]:
    """(the number of a trimmed rate cell, whether a percent sign stood after it)."""
    return (cell[:-1].rstrip(), True) if cell.endswith("%") else (cell, False)
