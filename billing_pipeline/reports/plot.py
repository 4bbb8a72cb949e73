"""A year of an operator's months as one small picture: verdicts by month, and what was billed less what was expected.

Hand-written SVG: two rows of bars need no plotting library, and a few kilobytes of text may stand in an event log.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from xml.sax.saxutils import escape

_WIDTH, _LEFT, _SLOT, _BAR = 720, 90, 52, 34
_COUNTS_TOP, _COUNTS_HEIGHT = 34, 110
_MONEY_TOP, _MONEY_HEIGHT = 190, 100
_HEIGHT = 310
MOST_MONTHS = 12
_COLOURS = {"matched": "#3d9970", "discrepancies": "#e69f00", "unmatched": "#c0392b"}


@dataclass(frozen=True, slots=True)
class Month:
    """One bar: counts of active services by verdict, and billed less expected; null where nothing was evaluated."""

    period: str
    matched: int | None
    discrepancies: int | None
    unmatched: int | None
    difference: Decimal | None

    @property
    def evaluated(self) -> bool:
        return self.matched is not None


def as_markdown_image(months: Sequence[Month], *, title: str) -> str:
    """The picture of the last twelve of `months` inside Markdown. Dagster's page lets `data:` pictures through."""
    encoded = base64.b64encode(as_svg(months, title=title).encode()).decode()
    return f"![{title.replace('[', '(').replace(']', ')')}](data:image/svg+xml;base64,{encoded})"


def as_svg(months: Sequence[Month], *, title: str) -> str:
    """The same as SVG text. Months in order; one without verdicts keeps its place, empty."""
    shown = months[-MOST_MONTHS:]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="8" y="18" font-size="13" font-weight="bold">{escape(title)}</text>',
        *_legend(),
        *_counts(shown),
        *_money(shown),
        "</svg>",
    ]
    return "".join(parts)


def _legend() -> list[str]:
    parts = []
    for index, (name, colour) in enumerate(_COLOURS.items()):
        x = 420 + index * 100
        parts.append(f'<rect x="{x}" y="9" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 14}" y="18">{name}</text>')
    return parts


def _counts(months: Sequence[Month]) -> list[str]:
    """Stacked bars of services, and the month below each."""
    stacks = [[(name, getattr(month, name) or 0) for name in _COLOURS] for month in months]
    highest = max((sum(count for _, count in stack) for stack in stacks), default=0) or 1
    bottom = _COUNTS_TOP + _COUNTS_HEIGHT
    parts = [_label(_COUNTS_TOP + 10, f"{highest}"), _label(bottom, "0 services"), _axis(bottom)]
    for index, (month, stack) in enumerate(zip(months, stacks, strict=True)):
        x, y = _x(index), bottom
        for name, count in stack:
            height = _scaled(Decimal(count), Decimal(highest), _COUNTS_HEIGHT) if count else 0
            y -= height
            hint = f"<title>{escape(month.period)}: {count} {name}</title>"
            if height:
                parts.append(
                    f'<rect x="{x}" y="{y}" width="{_BAR}" height="{height}" fill="{_COLOURS[name]}">{hint}</rect>'
                )
        if not month.evaluated:
            parts.append(f'<text x="{x + _BAR // 2}" y="{bottom - 4}" text-anchor="middle" fill="#888888">–</text>')
        parts.append(
            f'<text x="{x + _BAR // 2}" y="{bottom + 14}" text-anchor="middle">{escape(month.period[2:])}</text>'
        )
    return parts


def _money(months: Sequence[Month]) -> list[str]:
    """Bars up where more was billed than expected, down where less."""
    amounts = [month.difference or Decimal(0) for month in months]
    most, least = max([*amounts, Decimal(0)]), min([*amounts, Decimal(0)])
    span = (most - least) or Decimal(1)
    zero = _MONEY_TOP + (_scaled(most, span, _MONEY_HEIGHT) if most else 0)
    parts = [
        f'<text x="8" y="{_MONEY_TOP - 8}" font-weight="bold">billed less expected, HT</text>',
        _label(_MONEY_TOP + 10, _amount(most)),
        _label(_MONEY_TOP + _MONEY_HEIGHT + 4, _amount(least)) if least else "",
        _axis(zero),
    ]
    for index, (month, amount) in enumerate(zip(months, amounts, strict=True)):
        if not amount:
            continue
        height = _scaled(abs(amount), span, _MONEY_HEIGHT)
        y, colour = (zero - height, "#c0392b") if amount > 0 else (zero, "#2980b9")
        hint = f"<title>{escape(month.period)}: {_amount(amount)}</title>"
        parts.append(f'<rect x="{_x(index)}" y="{y}" width="{_BAR}" height="{height}" fill="{colour}">{hint}</rect>')
    return parts


def _x(index: int) -> int:
    return _LEFT + index * _SLOT


def _scaled(value: Decimal, whole: Decimal, pixels: int) -> int:
    """Pixels for a share of a whole; at least one, so that nothing that is there is invisible."""
    return max(1, int(value * pixels / whole))


def _axis(y: int) -> str:
    return f'<line x1="{_LEFT - 6}" y1="{y}" x2="{_WIDTH - 6}" y2="{y}" stroke="#444444"/>'


def _label(y: int, text: str) -> str:
    return f'<text x="{_LEFT - 10}" y="{y}" text-anchor="end">{escape(text)}</text>'


def _amount(value: Decimal) -> str:
    return f"{value:,.2f}".replace(",", "\u202f")
