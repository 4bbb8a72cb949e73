"""The billing hub's names and shapes, declared once: which JSON member shows which column, and in which form.

The command line's JSON, the SQL behind the HTTP API and its OpenAPI document are derived from these lists, so that one
result never has two shapes. Reading and serving stand elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

NEVER_RUN = "this period was never run for this operator"
NOT_EVALUATED = "NOT_EVALUATED"


class Form(Enum):
    """How a value is written: an AMOUNT with at least two decimals, a QUANTITY without any where it is whole."""

    TEXT = "text"
    AMOUNT = "amount"
    QUANTITY = "quantity"
    COUNT = "count"
    INSTANT = "instant"  # ISO 8601 in UTC, `2024-04-05T00:00:00Z`


@dataclass(frozen=True, slots=True)
class Member:
    """One JSON member: `name`, the `column` it shows, its `form` and `meaning`."""

    name: str
    column: str
    form: Form
    meaning: str
    nullable: bool = True
    absent_when_null: bool = False


INVOICE_ID = Member("invoiceId", "invoice_id", Form.TEXT, "The operator's invoice number.", nullable=False)
PERIOD = Member("period", "period", Form.TEXT, "The month, YYYY-MM.", nullable=False)
OPERATOR = (
    Member("code", "operator_code", Form.TEXT, "The operator's code.", nullable=False),
    Member("name", "operator_name", Form.TEXT, "The operator's name."),
)
TOTALS = (
    Member("totalHT", "total_ht", Form.AMOUNT, "Total excluding tax; negative for a credit note."),
    Member("totalTTC", "total_ttc", Form.AMOUNT, "Total including tax."),
)
# Of an invoice in the list, after its id, operator and period.
LISTED = (
    *TOTALS,
    Member("currency", "currency", Form.TEXT, "ISO 4217 code."),
    Member("lineCount", "line_count", Form.COUNT, "Lines the source declares, else lines read."),
    Member(
        "receivedAt", "received_at", Form.INSTANT, "When the source received the invoice; null where it says nothing."
    ),
    Member(
        "reconciliationStatus",
        "reconciliation_status",
        Form.TEXT,
        "The worst of its verdicts: MATCHED, UNMATCHED or DISCREPANCY; null while none of its periods is evaluated.",
    ),
)
LINE = (
    Member("lineId", "line_id", Form.TEXT, "The source's line id; for R189 the file and the row.", nullable=False),
    Member("serviceId", "service_id", Form.TEXT, "The service as the source states it."),
    Member("description", "description", Form.TEXT, "The charge as the operator words it."),
    Member("quantity", "quantity", Form.QUANTITY, "Units billed."),
    Member("unitPriceHT", "unit_price_ht", Form.AMOUNT, "Price of one unit excluding tax."),
    Member("totalHT", "total_ht", Form.AMOUNT, "The line's amount excluding tax.", nullable=False),
)
SUMMARY = (
    Member("totalServices", "total_services", Form.COUNT, "Active services."),
    Member("matched", "matched", Form.COUNT, "Of them MATCHED."),
    Member("unmatched", "unmatched", Form.COUNT, "Of them UNMATCHED."),
    Member("discrepancies", "discrepancies", Form.COUNT, "Of them DISCREPANCY."),
)
ITEM = (
    Member("serviceId", "service_id", Form.TEXT, "The service; null for a line that is no service's."),
    Member(
        "invoiceLineId", "invoice_line_id", Form.TEXT, "The line with the largest share; null where none was billed."
    ),
    Member("status", "status", Form.TEXT, "MATCHED, UNMATCHED or DISCREPANCY.", nullable=False),
    Member("serviceAmount", "service_amount", Form.AMOUNT, "What was expected; null where that side is missing."),
    Member("invoiceAmount", "invoice_amount", Form.AMOUNT, "What was billed for the period; null where it was not."),
    Member("detail", "detail", Form.TEXT, "The verdict in French; absent when matched.", absent_when_null=True),
)
# As items of several operators are told apart.
OPERATOR_ITEM = (Member("operatorCode", "operator_code", Form.TEXT, "The operator.", nullable=False), *ITEM)


def shaped(members: Sequence[Member], row: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object of a row, its values as they are in the row."""
    return {
        member.name: row[member.column]
        for member in members
        if not (member.absent_when_null and row[member.column] is None)
    }
