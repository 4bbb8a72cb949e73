"""The row rules as a pandera model: facts about each row, and what they must be. Reading cells is cells.py's.

A fact is null where the rule has nothing to say of a row (a blank optional cell, a cell that could not be read); pandera
passes nulls over except where a value is required. Each fact has one rule, so a failure's column names it.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.r189.cells import TypedPiece, is_currency
from billing_pipeline.schemas.columns import LONGEST_KEY
from billing_pipeline.schemas.row_validation import SchemaErrors, pandera

ARITHMETIC_TOLERANCE = Decimal("0.01")
MOST_MONTHS = 120

_Text = Annotated[pd.ArrowDtype, pa.string()]
_Flag = Annotated[pd.ArrowDtype, pa.bool_()]
_Count = Annotated[pd.ArrowDtype, pa.int64()]
_Gap = Annotated[pd.ArrowDtype, pa.decimal128(20, 6)]


class RowFacts(pandera.DataFrameModel):  # type: ignore[misc]  # pandera ships no types strict mode can read
    """What is judged of a row, one column per rule, in the order of RULES."""

    invoice_number: _Text = pandera.Field(nullable=False)
    invoice_number_short: _Flag = pandera.Field(eq=True, nullable=True)
    document_type: _Text = pandera.Field(nullable=False)
    charge_currency: _Text = pandera.Field(nullable=False)
    taxable_stated: _Flag = pandera.Field(eq=True)
    document_type_known: _Flag = pandera.Field(eq=True, nullable=True)
    frequency_known: _Flag = pandera.Field(eq=True, nullable=True)
    charge_currency_known: _Flag = pandera.Field(eq=True, nullable=True)
    invoicing_currency_known: _Flag = pandera.Field(eq=True, nullable=True)
    arithmetic_gap: _Gap = pandera.Field(le=ARITHMETIC_TOLERANCE, nullable=True)
    period_whole: _Flag = pandera.Field(eq=True, nullable=True)
    period_ordered: _Flag = pandera.Field(eq=True, nullable=True)
    months_spanned: _Count = pandera.Field(le=MOST_MONTHS, nullable=True)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a failed fact is called: the column at fault, the check, and its message; `{}` is the column's cell."""

    header: str
    check: str
    message: str


RULES = {
    "invoice_number": Rule("Invoice number", "required", "is blank"),
    "invoice_number_short": Rule("Invoice number", "length", f"{{}} has more than {LONGEST_KEY} characters"),
    "document_type": Rule("Document type", "required", "is blank"),
    "charge_currency": Rule("Charge Currency", "required", "is blank"),
    "taxable_stated": Rule("Taxable amount", "required", "is blank"),
    "document_type_known": Rule(
        "Document type", "mapping", "{} is no known document type; map it under profile.document_types in billing.yaml"
    ),
    "frequency_known": Rule(
        "Frequency", "mapping", "{} is no known frequency; map it under profile.frequencies in billing.yaml"
    ),
    "charge_currency_known": Rule("Charge Currency", "currency", "{} is no ISO 4217 currency code"),
    "invoicing_currency_known": Rule("Invoicing Currency", "currency", "{} is no ISO 4217 currency code"),
    "arithmetic_gap": Rule(
        "Taxable amount", "arithmetic", "{} is not Pre-discount amount less Discount amount within 0.01"
    ),
    "period_whole": Rule("Period to", "period_order", "only one of Period from and Period to is stated"),
    "period_ordered": Rule("Period to", "period_order", "{} is before Period from"),
    "months_spanned": Rule("Period to", "span", f"{{}} is more than {MOST_MONTHS} months after Period from"),
}


def facts(piece: TypedPiece, unreadable: set[tuple[int, str]]) -> pd.DataFrame:
    """One row of facts per row of the piece, indexed from 0. `unreadable` are (row, header) of cells without a value."""
    column = piece.columns
    first, last = column["Period from"], column["Period to"]
    both = pc.and_(pc.is_valid(first), pc.is_valid(last))
    whole = pc.equal(pc.is_valid(first), pc.is_valid(last))
    if unreadable:  # an unreadable date is stated all the same
        stated = [(at, "Period from") in unreadable or (at, "Period to") in unreadable for at in range(len(first))]
        whole = pc.or_(whole, pa.array(stated))
    gap = pc.subtract(
        pc.subtract(column["Pre-discount amount"], column["Discount amount"]), pc.cast(column["Taxable amount"], _WIDER)
    )
    table = pa.table(
        {
            "invoice_number": column["Invoice number"],
            "invoice_number_short": pc.less_equal(pc.utf8_length(column["Invoice number"]), LONGEST_KEY),
            "document_type": column["Document type"],
            "charge_currency": column["Charge Currency"],
            "taxable_stated": piece.taxable_stated,
            "document_type_known": _known(piece.document_type, column["Document type"]),
            "frequency_known": _known(piece.charge_type, column["Frequency"]),
            "charge_currency_known": is_currency(column["Charge Currency"]),
            "invoicing_currency_known": is_currency(column["Invoicing Currency"]),
            "arithmetic_gap": pc.abs(gap),
            "period_whole": whole,
            "period_ordered": pc.if_else(both, pc.greater_equal(last, first), pa.scalar(None, pa.bool_())),
            "months_spanned": _months(first, last),
        }
    )
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


_WIDER = pa.decimal128(19, 6)


def broken_rules(frame: pd.DataFrame) -> list[tuple[int, Rule]]:
    """(row, rule) of every rule broken, all rules of all rows judged."""
    try:
        RowFacts.validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
        if cases["index"].isna().any():  # about the frame itself, not about a row: our defect, never the file's
            raise
        pairs = zip(cases["index"].astype(int).tolist(), cases["column"].tolist(), strict=True)
        return [(at, RULES[fact]) for at, fact in sorted(set(pairs))]
    return []


def _known(meaning: pa.Array, word: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_valid(word), pc.is_valid(meaning), pa.scalar(None, pa.bool_()))


def _months(first: pa.Array, last: pa.Array) -> pa.Array:
    """Months begun from `first` to `last`, both included: 15 January to 14 February is one, to 15 February two."""
    calendar = pc.subtract(_month_index(last), _month_index(first))
    begun = pc.cast(pc.greater_equal(pc.day(last), pc.day(first)), pa.int64())
    return pc.add(calendar, begun)


def _month_index(days: pa.Array) -> pa.Array:
    return pc.add(pc.multiply(pc.year(days), 12), pc.month(days))
