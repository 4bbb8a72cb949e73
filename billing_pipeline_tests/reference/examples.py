"""Shorthand for writing one service, one invoice line or one row of a charge file in a test. No rule lives here."""

import datetime as dt
from decimal import Decimal
from typing import Any

from billing_pipeline.config import ReconciliationRules
from billing_pipeline.periods import Period
from billing_pipeline_tests.reference.records import Item, Line, Service
from billing_pipeline_tests.reference.verdicts import reconcile

MARCH = Period(2024, 3)
HEADERS = (
    "Invoice number", "Document type", "Charge Currency", "Taxable amount", "Charge Month", "Period from", "Period to",
    "Frequency", "Monthly price", "Pre-discount amount", "Discount amount", "Tax rate", "Exchange rate",
    "Charge Description", "Installed Offer ID",
)  # fmt: skip


def row(**changes: str) -> str:
    cells = dict.fromkeys(HEADERS, "")
    cells.update({
        "Invoice number": "I-1", "Document type": "Invoice", "Charge Currency": "EUR", "Taxable amount": "25.00",
        "Charge Month": "2024-03", "Frequency": "Monthly", "Installed Offer ID": "OFR-1",
    })  # fmt: skip
    cells.update({name.replace("_", " "): text for name, text in changes.items()})
    return ";".join(cells.values())


def service(number: int = 1, price: str = "25.00", **facts: Any) -> Service:
    given = {"activated_on": dt.date(2022, 1, 1), "installed_offer_id": f"OFR-{number}", **facts}
    return Service(service_id=f"SVC-{number}", monthly_price_ht=Decimal(price), **given)


def line(amount: str, number: int = 1, of: int = 1, **facts: Any) -> Line:
    given: dict[str, Any] = {
        "period": "2024-03", "invoice_id": "INV-1", "line_id": f"LN-{number}", "service_id": f"SVC-{of}",
        "description": "Abonnement", "service_from": dt.date(2024, 3, 1), "service_to": dt.date(2024, 3, 31), **facts,
    }  # fmt: skip
    return Line(total_ht=Decimal(amount), **given)


def verdicts(services: list[Service], lines: list[Line], **more: Any) -> dict[str, Item]:
    items = reconcile(
        services,
        more.get("prices", []),
        more.get("charges", []),
        lines,
        more.get("rejected_keys", []),
        MARCH,
        more.get("rules", ReconciliationRules()),
    )
    return {item.item_id: item for item in items}
