"""The summary as CSV: what a spreadsheet would take for a formula stays text, figures stay figures."""

import csv
import io
from decimal import Decimal

from billing_pipeline.reports.summary import COLUMNS, as_csv


def test_a_text_that_looks_like_a_formula_is_quoted_and_a_negative_amount_is_not() -> None:
    row = dict.fromkeys(COLUMNS) | {
        "state_detail": "=cmd|calc!A1.csv: unreadable",
        "difference": Decimal("-3.50"),
    }
    (read,) = csv.DictReader(io.StringIO(as_csv([row])))
    assert read["state_detail"] == "'=cmd|calc!A1.csv: unreadable"
    assert read["difference"] == "-3.50"
