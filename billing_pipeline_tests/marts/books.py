"""A few months of two operators, small enough to work out by hand, written straight into the tables of schema billing."""

from datetime import UTC, date, datetime
from typing import Any

import psycopg
from psycopg import sql

DOCUMENT = "d" * 64
LOADED_AT = datetime(2024, 4, 6, 4, 0, tzinfo=UTC)


def store(url: str) -> None:
    """SFR 2024-01 with an overcharge (disputed, 0.50 credited, its invoice paid), a missing line, a foreign currency and
    an unknown line; 2024-02 not evaluated; 2024-03 matched within the tolerance. AXIONE 2024-01 matched."""
    with psycopg.connect(url) as connection:
        _first_month(connection)
        _later_months(connection)


def add(connection: psycopg.Connection, table: str, **row: Any) -> None:
    row = {"run_id": "by hand", "loaded_at": LOADED_AT, **row}
    statement = sql.SQL("INSERT INTO billing.{} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() * len(row)),
    )
    connection.execute(statement, list(row.values()))


def _first_month(connection: psycopg.Connection) -> None:
    month = {"operator_code": "SFR", "period": "2024-01"}
    services = (("A", "EUR", "10"), ("B", "EUR", "10"), ("C", "USD", "20"))
    for service_id, currency, price in services:
        add(connection, "services", **month, **_service(service_id, currency, price, days=31))
    invoice = {"invoice_id": "INV:1", "document_type": "invoice", "currency": "EUR", "total_ht": "36"}
    add(connection, "invoices", **month, **invoice, invoice_date=date(2024, 2, 5))
    for line_id, amount in (("L1", "12"), ("L2", "19"), ("L3", "5")):
        share = {"days": 31, "amount_ht": amount, "currency": "EUR", "service_month": "2024-01"}
        add(connection, "line_allocations", **month, invoice_id="INV:1", line_id=line_id, **share)
        add(connection, "invoice_lines", **month, **_line("INV:1", line_id, amount, DOCUMENT))
    add(connection, "source_documents", **month, sha256=DOCUMENT, location="/inbox/sfr/R189_SFR_202401.csv")
    file = {"source_sha256": "e" * 64, "source_row": 1, "operator_code": "SFR"}
    add(connection, "payments", **file, period="2024-02", invoice_id="INV:1", paid_on=date(2024, 2, 20))
    add(
        connection, "disputes", **file, period="2024-01", item_id="service:A", reference="T-100", status="accepted",
        sent_on=date(2024, 3, 1), credited_amount="0.50",
    )  # fmt: skip
    items: tuple[dict[str, Any], ...] = (
        _item("service:A", "DISCREPANCY", "PRICE_MISMATCH", "10", "12", "2", lines=["INV:1:L1"]),
        _item("service:B", "UNMATCHED", "NOT_BILLED", "10", None, "-10", lines=[]),
        _item("service:C", "DISCREPANCY", "CURRENCY_MISMATCH", "20", "19", None, lines=["INV:1:L2"]),
        _item("line:INV:1:L3", "UNMATCHED", "UNKNOWN_SERVICE", None, "5", "5", lines=["INV:1:L3"]),
    )
    for item in items:
        add(connection, "reconciliation_items", **month, **item)
        if item["difference"] is not None:
            reason = {"reason_code": item["reason_code"], "amount": item["difference"]}
            add(connection, "reconciliation_reasons", **month, item_id=item["item_id"], **reason)
    add(
        connection, "reconciliation_summary", **month, state="EVALUATED", total_services=3, matched=0, unmatched=1,
        discrepancies=2, line_items=1, orphan_lines=1, orphan_amount="5", service_amount="20", invoice_amount="36",
        difference="16", state_detail="also in USD: expected 20.00, billed 0.00",
    )  # fmt: skip


def _later_months(connection: psycopg.Connection) -> None:
    add(connection, "reconciliation_summary", operator_code="SFR", period="2024-02", state="NOT_EVALUATED")
    for code, period, price, billed, difference in (
        ("SFR", "2024-03", "10", "10.01", "0.01"),
        ("AXIONE", "2024-01", "30", "30", "0"),
    ):
        month = {"operator_code": code, "period": period}
        add(connection, "services", **month, **_service("A", "EUR", price, days=31))
        invoice = {"invoice_id": f"INV-{period}", "document_type": "invoice", "currency": "EUR", "total_ht": billed}
        add(connection, "invoices", **month, **invoice)
        share = {"days": 31, "amount_ht": billed, "currency": "EUR", "service_month": period}
        add(connection, "line_allocations", **month, invoice_id=f"INV-{period}", line_id="L1", **share)
        add(connection, "invoice_lines", **month, **_line(f"INV-{period}", "L1", billed, DOCUMENT))
        add(connection, "source_documents", **month, sha256=DOCUMENT, location="https://hub.example/invoices/1")
        reason = "ROUNDING" if difference != "0" else None
        item = _item("service:A", "MATCHED", reason, price, billed, difference, lines=[f"INV-{period}:L1"])
        add(connection, "reconciliation_items", **month, **item)
        if reason is not None:
            rounding = {"item_id": "service:A", "reason_code": reason, "amount": difference}
            add(connection, "reconciliation_reasons", **month, **rounding)
        add(
            connection, "reconciliation_summary", **month, state="EVALUATED", total_services=1, matched=1, unmatched=0,
            discrepancies=0, line_items=0, orphan_lines=0, orphan_amount="0", service_amount=price,
            invoice_amount=billed, difference=difference,
        )  # fmt: skip


def _service(service_id: str, currency: str, price: str, days: int) -> dict[str, Any]:
    return {
        "service_id": service_id, "description": f"fibre {service_id}", "customer_id": "CUST-1", "currency": currency,
        "monthly_price_ht": price, "discount_percent": "0", "activated_on": date(2020, 1, 1),
        "expected_amount": price, "active_days": days, "resale_price_ht": "15",
    }  # fmt: skip


def _line(invoice_id: str, line_id: str, amount: str, document: str) -> dict[str, Any]:
    return {
        "invoice_id": invoice_id, "line_id": line_id, "charge_type": "recurring", "document_type": "invoice",
        "description": f"Abonnement {line_id}", "total_ht": amount, "currency": "EUR", "source_sha256": document,
        "source_row": int(line_id.removeprefix("L")),
    }  # fmt: skip


def _item(
    item_id: str,
    status: str,
    reason: str | None,
    expected: str | None,
    billed: str | None,
    difference: str | None,
    lines: list[str],
) -> dict[str, Any]:
    side, _, name = item_id.partition(":")
    return {
        "item_id": item_id, "side": side, "service_id": name if side == "service" else None, "status": status,
        "reason_code": reason, "service_amount": expected, "invoice_amount": billed, "difference": difference,
        "currency": "EUR", "invoice_line_ids": lines, "invoice_id": lines[0].rpartition(":")[0] if lines else None,
        "invoice_line_id": lines[0].rpartition(":")[2] if lines else None,
    }  # fmt: skip


# What a month can get wrong, one statement per data test that has to notice it (and may be noticed by others too).
BREAKAGES = {
    "assert_no_line_belongs_to_two_items": """
        UPDATE billing.reconciliation_items SET invoice_line_ids = invoice_line_ids || ARRAY['INV:1:L3']
        WHERE operator_code = 'SFR' AND item_id = 'service:B'""",
    "assert_the_difference_is_billed_less_expected": """
        UPDATE billing.reconciliation_items SET difference = NULL
        WHERE operator_code = 'AXIONE' AND item_id = 'service:A'""",
    "assert_reasons_add_up_to_the_difference": """
        DELETE FROM billing.reconciliation_reasons WHERE operator_code = 'SFR' AND item_id = 'service:B'""",
    "assert_every_reason_has_its_item": """
        UPDATE billing.reconciliation_reasons SET item_id = 'service:Z'
        WHERE operator_code = 'SFR' AND item_id = 'line:INV:1:L3'""",
    "assert_the_summary_counts_its_items": """
        UPDATE billing.reconciliation_summary SET matched = 2, discrepancies = 0
        WHERE operator_code = 'SFR' AND period = '2024-01'""",
    "assert_the_operator_month_agrees_with_the_summary": """
        UPDATE billing.reconciliation_summary SET invoice_amount = 36.01
        WHERE operator_code = 'SFR' AND period = '2024-01'""",
    "assert_the_parts_of_a_month_add_up_to_its_difference": """
        UPDATE billing.reconciliation_items SET difference = 3 WHERE operator_code = 'SFR' AND difference = 2""",
    "assert_recoverable_claims_add_up_to_the_month": """
        INSERT INTO billing.reconciliation_items
            (operator_code, period, item_id, side, status, currency, invoice_amount, difference, invoice_line_ids,
             run_id, loaded_at)
        VALUES ('GHOST', '2024-01', 'line:G:1', 'line', 'UNMATCHED', 'EUR', 4, 4, '{}', 'by hand', now())""",
    "assert_every_share_of_a_month_is_in_an_item": """
        UPDATE billing.line_allocations SET line_id = 'L9' WHERE operator_code = 'SFR' AND line_id = 'L2'""",
    "assert_every_dispute_is_about_a_verdict": """
        UPDATE billing.disputes SET item_id = 'service:Z' WHERE item_id = 'service:A'""",
    "assert_the_margins_cost_what_the_services_items_bill": """
        INSERT INTO billing.reconciliation_items
            (operator_code, period, item_id, side, service_id, status, currency, service_amount, invoice_amount,
             difference, invoice_line_ids, run_id, loaded_at)
        VALUES ('SFR', '2024-03', 'service:Q', 'service', 'Q', 'MATCHED', 'EUR', 4, 4, 0, '{}', 'by hand', now())""",
    "assert_every_line_of_an_item_has_its_proof": """
        DELETE FROM billing.invoice_lines WHERE operator_code = 'AXIONE'""",
    "assert_every_active_service_has_one_item": """
        UPDATE billing.services SET service_id = 'Y' WHERE operator_code = 'SFR' AND service_id = 'B'""",
}
