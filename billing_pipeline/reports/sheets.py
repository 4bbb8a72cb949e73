"""Tables as worksheets: a header that stays, filters, widths, and as many sheets as a table's rows need.

Knows nothing of billing. Rows are written as they come, so memory does not grow with them.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import xlsxwriter
from xlsxwriter.exceptions import XlsxWriterException
from xlsxwriter.worksheet import Worksheet

from billing_pipeline.errors import StorageError
from billing_pipeline.reports.cells import Cell, Form, Pen
from billing_pipeline.storage.durable import make_directory, move_into_place

# Excel's 1 048 576 rows, less the header.
ROWS_PER_SHEET = 1_048_575
_A4 = 9


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its `title`, the row's `key` it shows, its form, its width in characters."""

    title: str
    key: str
    form: Form = Form.TEXT
    width: int = 14


class Book:
    """A workbook under way; made by `book`."""

    def __init__(self, workbook: xlsxwriter.Workbook, rows_per_sheet: int) -> None:
        self._workbook = workbook
        self._rows_per_sheet = rows_per_sheet
        self._pen = Pen(workbook)

    def page(self, name: str, widths: Sequence[int]) -> "Page":
        """A sheet without a table's form: labels and values, written from the top."""
        sheet = self._workbook.add_worksheet(name)
        for index, width in enumerate(widths):
            sheet.set_column(index, index, width)
        _for_printing(sheet)
        return Page(sheet, self._pen)

    def table(self, name: str, columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> int:
        """A table of `rows`, on `name (2)` and so on where one sheet cannot hold them; returns how many they were."""
        sheet, at, total = self._sheet(name, columns), 0, 0
        number = 1
        for row in rows:
            if at == self._rows_per_sheet:
                _filter(sheet, at, columns)
                number += 1
                sheet, at = self._sheet(f"{name} ({number})", columns), 0
            at, total = at + 1, total + 1
            for index, column in enumerate(columns):
                self._pen.write(sheet, at, index, row[column.key], column.form)
        _filter(sheet, at, columns)
        return total

    def _sheet(self, name: str, columns: Sequence[Column]) -> Worksheet:
        sheet = self._workbook.add_worksheet(name)
        for index, column in enumerate(columns):
            sheet.set_column(index, index, column.width)
        sheet.set_row(0, 32)
        for index, column in enumerate(columns):
            self._pen.write(sheet, 0, index, column.title, Form.HEADER)
        sheet.freeze_panes(1, 1)
        sheet.repeat_rows(0)
        _for_printing(sheet)
        return sheet


class Page:
    """Rows of single cells, one below the other."""

    def __init__(self, sheet: Worksheet, pen: Pen) -> None:
        self._sheet = sheet
        self._pen = pen
        self._row = 0

    def line(self, *cells: tuple[Cell, Form]) -> None:
        for index, (value, form) in enumerate(cells):
            self._pen.write(self._sheet, self._row, index, value, form)
        self._row += 1

    def gap(self) -> None:
        self._row += 1


def _filter(sheet: Worksheet, rows: int, columns: Sequence[Column]) -> None:
    sheet.autofilter(0, 0, rows, len(columns) - 1)


def _for_printing(sheet: Worksheet) -> None:
    sheet.set_landscape()
    sheet.set_paper(_A4)
    sheet.fit_to_pages(1, 0)


@contextmanager
def book(path: Path, *, title: str, created: datetime, rows_per_sheet: int = ROWS_PER_SHEET) -> Iterator[Book]:
    """A workbook at `path`, there when the block has ended and not before; an older one is replaced whole.

    `created` stands in the file: the same rows at the same instant make the same bytes. StorageError on disk faults.
    """
    try:
        make_directory(path.parent)
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=path.parent) as scratch:
            written = Path(scratch) / path.name
            workbook = xlsxwriter.Workbook(written, {"constant_memory": True, "tmpdir": scratch})
            workbook.use_zip64()
            workbook.set_properties({"title": title, "created": created.replace(tzinfo=None)})
            try:
                yield Book(workbook, rows_per_sheet)
            finally:
                workbook.close()
            _sync(written)
            move_into_place(written, path)
    except (OSError, XlsxWriterException) as error:
        said = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise StorageError(f"{path}: cannot be written: {said}; free some space, or close the file") from None


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
