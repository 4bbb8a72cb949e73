"""What makes a row of the inventory files valid, as pandera checks over text columns. How files are read is next door."""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import pandas as pd

from billing_pipeline.periods import PARIS, Period
from billing_pipeline.schemas.columns import LONGEST_KEY
from billing_pipeline.schemas.currencies import ISO_4217
from billing_pipeline.schemas.row_validation import SchemaErrors
from billing_pipeline.schemas.row_validation import pandera as pa

_NUMBER = r"[+-]?[0-9]{1,12}(\.[0-9]{1,6})?"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")  # fromisoformat also takes week dates: 2024-W01-1


@dataclass(frozen=True, order=True, slots=True)
class Fault:
    """One broken rule: `row` counts records after the header from 1."""

    row: int
    column: str
    problem: str


@dataclass(frozen=True, slots=True)
class FileRules:
    """The columns of one file, which of them it must have, and the checks; a check's name is the problem it finds."""

    columns: tuple[str, ...]
    required: tuple[str, ...]
    schema: pa.DataFrameSchema


def _is_day(cell: str) -> bool:
    try:
        return _DAY.fullmatch(cell) is not None and bool(dt.date.fromisoformat(cell))
    except ValueError:
        return False


def _is_period(cell: str) -> bool:
    try:
        Period.parse(cell)
    except ValueError:
        return False
    return True


def _within(low: int, high: int) -> Callable[[str], bool]:
    def holds(cell: str) -> bool:
        try:
            return low <= Decimal(cell) <= high
        except InvalidOperation:
            return True  # the check for a number says so already

    return holds


def cell_check(holds: Callable[[str], bool], problem: str, *, blank: bool = False) -> pa.Check:
    """A check of single cells, each distinct text judged once; blank cells pass where `blank` says so."""

    def check(column: pd.Series) -> pd.Series:
        verdicts = {
            cell: (blank and cell == "") or ((cell != "" or not blank) and holds(cell)) for cell in column.unique()
        }
        return column.map(verdicts).astype(bool)

    return pa.Check(check, error=problem)


def row_check(holds: Callable[[pd.DataFrame], pd.Series], column: str, problem: str) -> pa.Check:
    """A check of whole rows, reported at `column`."""
    return pa.Check(holds, error=f"{column}\n{problem}")


def filled(remedy: str) -> pa.Check:
    return cell_check(lambda cell: cell != "", f"is empty; {remedy}")


def _short() -> pa.Check:
    return cell_check(
        lambda cell: len(cell) <= LONGEST_KEY, f"has more than {LONGEST_KEY} characters; an id has at most so many"
    )


def _number() -> pa.Check:
    return pa.Check.str_matches(
        f"^({_NUMBER})?$", error="is not a number with a decimal point, at most 12 digits and 6 decimals; correct it"
    )


def _date(blank: bool) -> pa.Check:
    return cell_check(_is_day, "is not a date YYYY-MM-DD; correct it", blank=blank)


def text_column(*checks: pa.Check) -> pa.Column:
    return pa.Column("string[pyarrow]", checks=list(checks))


def unique_rows(*columns: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda frame: ~frame.duplicated(list(columns), keep="first")


def _terminated_after_activated(frame: pd.DataFrame) -> pd.Series:
    # ISO dates compare as text; a malformed one has its own fault.
    return (frame["terminated_on"] == "") | (frame["terminated_on"] >= frame["activated_on"])


_PRICE = (_number(), cell_check(_within(0, 10**12), "is negative; a price is 0 or more", blank=True))

SERVICES = FileRules(
    columns=(
        "service_id", "operator_code", "description", "customer_id", "currency", "monthly_price_ht",
        "discount_percent", "activated_on", "terminated_on", "installed_offer_id", "external_reference",
        "serial_number", "order_reference", "resale_price_ht",
    ),
    required=(
        "service_id", "operator_code", "description", "customer_id", "currency", "monthly_price_ht",
        "discount_percent", "activated_on", "terminated_on", "installed_offer_id", "external_reference",
        "serial_number", "order_reference",
    ),
    schema=pa.DataFrameSchema(
        {
            "service_id": text_column(filled("give every service an id"), _short()),
            "operator_code": text_column(filled("name the operator that bills the service")),
            "currency": text_column(cell_check(ISO_4217.__contains__, "is not an ISO 4217 currency code; write EUR, USD…")),
            "monthly_price_ht": text_column(filled("give the contract's price"), *_PRICE),
            "discount_percent": text_column(_number(), cell_check(_within(0, 100), "is outside 0 to 100; correct it", blank=True)),
            "activated_on": text_column(filled("give the first day of service"), _date(blank=True)),
            "terminated_on": text_column(_date(blank=True)),
            "resale_price_ht": text_column(*_PRICE),
        },
        checks=[
            row_check(unique_rows("operator_code", "service_id"), "service_id", "stands twice for its operator; remove one row"),
            row_check(_terminated_after_activated, "terminated_on", "is before activated_on; correct one of them"),
        ],
    ),
)  # fmt: skip

PRICES = FileRules(
    columns=("service_id", "valid_from", "monthly_price_ht"),
    required=("service_id", "valid_from", "monthly_price_ht"),
    schema=pa.DataFrameSchema(
        {
            "valid_from": text_column(filled("give the first day the price applies"), _date(blank=True)),
            "monthly_price_ht": text_column(filled("give the price"), *_PRICE),
        },
        checks=[
            row_check(
                unique_rows("service_id", "valid_from"), "valid_from", "has two prices of the service; remove one row"
            )
        ],
    ),
)

CHARGES = FileRules(
    columns=("service_id", "period", "amount_ht", "description"),
    required=("service_id", "period", "amount_ht", "description"),
    schema=pa.DataFrameSchema(
        {
            "period": text_column(cell_check(_is_period, "is not a period YYYY-MM; correct it")),
            "amount_ht": text_column(filled("give the amount"), _number()),
        }
    ),
)


_PAST = cell_check(
    lambda cell: not _is_day(cell) or dt.date.fromisoformat(cell) <= dt.datetime.now(PARIS).date(),
    "is in the future; record it once it has happened",
)

PAYMENTS = FileRules(
    columns=("operator_code", "invoice_id", "paid_on"),
    required=("operator_code", "invoice_id", "paid_on"),
    schema=pa.DataFrameSchema(
        {
            "operator_code": text_column(filled("name the operator that was paid")),
            "invoice_id": text_column(filled("give the operator's invoice number"), _short()),
            "paid_on": text_column(filled("give the day of payment"), _date(blank=True), _PAST),
        },
        # An invoice may be paid in several parts, on several days.
        checks=[
            row_check(unique_rows("operator_code", "invoice_id", "paid_on"), "paid_on", "stands twice; remove one row")
        ],
    ),
)

DISPUTE_STATUSES = ("sent", "accepted", "refused")


def _nothing_credited_when_refused(frame: pd.DataFrame) -> pd.Series:
    zero = frame["credited_amount"].str.fullmatch(r"[+-]?0*(\.0*)?").fillna(True)
    return (frame["status"] != "refused") | zero.astype(bool)


DISPUTES = FileRules(
    columns=("operator_code", "period", "item_id", "sent_on", "reference", "status", "credited_amount"),
    required=("operator_code", "period", "item_id", "sent_on", "reference", "status", "credited_amount"),
    schema=pa.DataFrameSchema(
        {
            "operator_code": text_column(filled("name the operator the dispute was sent to")),
            "period": text_column(cell_check(_is_period, "is not a period YYYY-MM; give the disputed month")),
            "item_id": text_column(
                pa.Check.str_matches(
                    r"(?s)^(service:.+|line:.+:.+)$",
                    error="is not the item_id of a verdict, service:… or line:…; copy it from the workbook",
                )
            ),
            "sent_on": text_column(filled("give the day the dispute was sent"), _date(blank=True), _PAST),
            "status": text_column(cell_check(DISPUTE_STATUSES.__contains__, f"is none of {', '.join(DISPUTE_STATUSES)}; write one")),
            "credited_amount": text_column(
                _number(), cell_check(_within(0, 10**12), "is negative; a credit received is a positive amount", blank=True)
            ),
        },
        checks=[
            row_check(
                unique_rows("operator_code", "period", "item_id", "reference"),
                "reference",
                "stands twice for its item; give each dispute a reference of its own, or remove one row",
            ),
            row_check(_nothing_credited_when_refused, "credited_amount", "is credited and refused; write accepted, or 0"),
        ],
    ),
)  # fmt: skip


def broken_rules(frame: pd.DataFrame, rules: FileRules) -> list[Fault]:
    """All faults of the file. `frame`: the rules' columns as text plus `row`."""
    frame = frame.set_index("row", drop=False)
    try:
        rules.schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
        faults = set()
        for row, column, check in zip(cases["index"], cases["column"], cases["check"], strict=True):
            at, _, problem = str(check).rpartition("\n")
            faults.add(Fault(int(row), at or str(column), problem))
        return sorted(faults)
    return []
