"""What may stand in a cell of a spreadsheet, and in which form. Data stays data: no text becomes a formula, no character
breaks the file, no digit is lost. Which cells there are is sheets.py's."""

import re
from datetime import date
from decimal import Decimal
from enum import Enum

from xlsxwriter.format import Format
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

# What XML 1.0 cannot hold, spelled out or not: most control characters, halves of surrogate pairs, two noncharacters.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# What a spreadsheet takes for a formula when the cell is edited, or saved as CSV and opened again.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
# Excel refuses the file beyond 32 767 characters, counted as UTF-16.
_LONGEST = 32_000
_CUT = "… (tronqué)"
# Excel keeps 15 significant digits of a number.
_DIGITS_KEPT = 15
_FIRST_EXCEL_YEAR = 1900
Cell = str | Decimal | int | date | None


class Form(Enum):
    """How a column shows its values."""

    TEXT = "text"
    MONEY = "money"  # at least two decimals, more where the amount has them
    INTEGER = "integer"
    DATE = "date"
    LABEL = "label"
    TITLE = "title"
    HEADER = "header"


_FORMATS: dict[Form, dict[str, object]] = {
    Form.TEXT: {"num_format": "@", "valign": "top"},
    Form.MONEY: {"num_format": "#,##0.00####", "valign": "top"},
    Form.INTEGER: {"num_format": "#,##0", "valign": "top"},
    Form.DATE: {"num_format": "dd/mm/yyyy", "align": "center", "valign": "top"},
    Form.LABEL: {"num_format": "@", "bold": True},
    Form.TITLE: {"num_format": "@", "bold": True, "font_size": 14},
    Form.HEADER: {
        "num_format": "@", "bold": True, "bg_color": "#1F3864", "font_color": "#FFFFFF", "text_wrap": True,
        "valign": "vcenter", "border": 1,
    },
}  # fmt: skip


class Pen:
    """Writes single cells of one workbook, each in its form."""

    def __init__(self, workbook: Workbook) -> None:
        self._formats = {form: workbook.add_format(dict(settings)) for form, settings in _FORMATS.items()}
        # Excel shows such a text with an apostrophe before it, and leaves it a text when it is edited.
        self._guarded = workbook.add_format({**_FORMATS[Form.TEXT], "quote_prefix": True})

    def format(self, form: Form) -> Format:
        return self._formats[form]

    def write(self, sheet: Worksheet, row: int, column: int, value: Cell, form: Form) -> None:
        """Null is an empty cell. A number that Excel could not keep to its last digit is written as text."""
        style = self._formats[form]
        if value is None:
            return
        if isinstance(value, bool):
            raise TypeError("a truth value has no form in a sheet; write a word")
        if isinstance(value, Decimal | int) and _fits(Decimal(value)):
            sheet.write_number(row, column, value, style)
        elif isinstance(value, date) and value.year >= _FIRST_EXCEL_YEAR:
            sheet.write_datetime(row, column, value, style)
        else:
            self._write_text(sheet, row, column, str(value), style)

    def _write_text(self, sheet: Worksheet, row: int, column: int, text: str, style: Format) -> None:
        shown = safe_text(text)
        sheet.write_string(row, column, shown, self._guarded if shown.startswith(FORMULA_STARTS) else style)


def safe_text(text: str) -> str:
    """`text` as a sheet can hold it: illegal characters as U+FFFD, cut where it is longer than a cell may be."""
    shown = _ILLEGAL.sub("\ufffd", text)
    if len(shown.encode("utf-16-le")) // 2 > _LONGEST:
        shown = shown[: _LONGEST // 2] + _CUT
    if shown.startswith("<r>") and shown.endswith("</r>"):
        # XlsxWriter (3.3) takes such a text for its own markup and writes it into the file unescaped.
        shown += "\u200b"
    return shown


def _fits(value: Decimal) -> bool:
    return value.is_finite() and len(value.normalize().as_tuple().digits) <= _DIGITS_KEPT
