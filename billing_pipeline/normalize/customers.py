"""The reseller's customers as the invoicing API needs them: customers.csv, read whole and refused whole like the inventory.

What each is invoiced is not known here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from billing_pipeline.errors import InventoryError
from billing_pipeline.normalize.inventory import InventoryFile, cells_of, refuse_faults
from billing_pipeline.normalize.inventory_rules import (
    FileRules,
    broken_rules,
    cell_check,
    filled,
    row_check,
    text_column,
    unique_rows,
)
from billing_pipeline.schemas.row_validation import pandera as pa

# The API's words, from its published OpenAPI 1.90.0. VAT code → rate in percent with two decimals, as whole hundredths.
VAT_RATES: Mapping[str, int] = {
    "FR_210": 210, "FR_550": 550, "FR_850": 850, "FR_1000": 1000, "FR_2000": 2000, "FR_00HT": 0, "FR_00UE": 0,
    "FR_0HUE": 0,
}  # fmt: skip
# Not `other`: it wants a date of its own for every invoice.
PAYMENT_DELAYS = (
    "at_reception", "end_of_month", "seven_days", "ten_days", "fifteen_days", "thirty_days",
    "thirty_days_end_of_month", "forty_five_days", "forty_five_days_end_of_month", "sixty_days",
    "sixty_days_end_of_month", "ninety_days", "ninety_days_end_of_month", "one_hundred_and_twenty_days",
)  # fmt: skip
LOCALES = ("fr", "en", "de", "it", "nl", "pt", "es")
# Not `isprintable`: a French name may well hold a no-break space.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_REMOTE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_COLUMNS = ("customer_id", "invoicing_customer_id", "name", "vat_code", "payment_delay", "locale")


@dataclass(frozen=True, slots=True)
class Customer:
    """One row: our id, the API's id of the same customer, and how its invoices are made out."""

    customer_id: str
    invoicing_customer_id: str
    name: str
    vat_code: str
    payment_delay: str
    locale: str


def _one_of(*words: str) -> pa.Check:
    return cell_check(words.__contains__, f"is none of {', '.join(words)}; write one of them")


_NO_CONTROL = cell_check(lambda cell: _CONTROL.search(cell) is None, "holds a control character; remove it", blank=True)

CUSTOMERS = FileRules(
    columns=_COLUMNS,
    required=_COLUMNS,
    schema=pa.DataFrameSchema(
        {
            # It goes into the journal and the tables as it is, and PostgreSQL has no U+0000.
            "customer_id": text_column(filled("give every customer the id that the inventory has"), _NO_CONTROL),
            "invoicing_customer_id": text_column(
                cell_check(
                    lambda cell: _REMOTE_ID.fullmatch(cell) is not None,
                    "is not an id of the invoicing API (letters, digits, _ . : -); copy it from there",
                )
            ),
            "name": text_column(filled("name the customer"), _NO_CONTROL),
            "vat_code": text_column(_one_of(*VAT_RATES)),
            "payment_delay": text_column(_one_of(*PAYMENT_DELAYS)),
            "locale": text_column(_one_of(*LOCALES)),
        },
        checks=[
            row_check(unique_rows("customer_id"), "customer_id", "stands twice; remove one row"),
            # A row copied and half changed would send one customer's invoice to another.
            row_check(
                unique_rows("invoicing_customer_id"),
                "invoicing_customer_id",
                "is that of another row too; give every customer its own",
            ),
        ],
    ),
)


def read_customers(path: Path) -> tuple[dict[str, Customer], list[str]]:
    """Customers by customer_id, and warnings. InventoryError names file, row, column and remedy."""
    try:
        file = InventoryFile(path, path.read_bytes())
    except OSError as error:
        raise InventoryError(
            f"{path}: cannot be read ({error.strerror}); correct 'rebilling.customers' in billing.yaml"
        ) from None
    warnings: list[str] = []
    cells = cells_of(file, CUSTOMERS, warnings)
    refuse_faults(file, broken_rules(cells, CUSTOMERS))
    rows = zip(*(cells[name].tolist() for name in _COLUMNS), strict=True)
    return {row[0]: Customer(*row) for row in rows}, warnings
