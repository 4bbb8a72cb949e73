"""Schema rebilling as first released: what customers were invoiced, line by line, and the record of every step.

Spelled out on purpose: a later change of the registry must not change what this revision made.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT, MONTH, INSTANT = sa.Text(), sa.CHAR(7), sa.DateTime(timezone=True)
DECIMAL, INTEGER, BOOLEAN = sa.Numeric(18, 6), sa.BigInteger(), sa.Boolean()
TEXT_LIST, JSON = postgresql.ARRAY(sa.Text()), postgresql.JSONB()
TABLES = ("customer_invoices", "customer_invoice_lines", "customer_invoice_events")


def _create(name: str, comment: str, key: list[str], *columns: "sa.Column[Any]") -> None:
    """The table, with a check on every numeric column that refuses NaN and on every month that it is one."""
    checks = []
    for column in columns:
        if column.type is DECIMAL:
            condition, rule = f"{column.name} <> 'NaN'", "is_a_number"
        elif column.type is MONTH:
            condition, rule = f"{column.name} ~ '^[0-9]{{4}}-(0[1-9]|1[0-2])$'", "is_a_month"
        else:
            continue
        checks.append(sa.CheckConstraint(condition, name=f"{name}_{column.name}_{rule}"))
    primary_key = sa.PrimaryKeyConstraint(*key, name=f"{name}_pkey")
    op.create_table(name, *columns, primary_key, *checks, schema="rebilling", comment=comment)


def _column(name: str, kind: Any, comment: str) -> "sa.Column[Any]":
    return sa.Column(name, kind, nullable=True, comment=comment)


def _required(name: str, kind: Any, comment: str) -> "sa.Column[Any]":
    return sa.Column(name, kind, nullable=False, comment=comment)


def upgrade() -> None:
    _create(
        "customer_invoices",
        "One row per customer and period that was ever to be invoiced: what became of it.",
        ["customer_id", "period"],
        _required("customer_id", TEXT, "The reseller's customer, as the inventory names it."),
        _required("period", MONTH, "The month invoiced, YYYY-MM."),
        _required("state", TEXT, "PLANNED, DRAFT, FINALIZED or NEEDS_REVIEW."),
        _column("state_detail", TEXT, "What needs review, what was left out, what has changed since it was finalized."),
        _column("invoicing_id", TEXT, "The document's id at the invoicing API; null while there is none."),
        _column("number", TEXT, "The invoice number the API gave it when it was finalized."),
        _required("total_ht", DECIMAL, "Sum of our lines excluding tax, in currency."),
        _column("total_ttc", DECIMAL, "Total including tax as read back from the API; null before."),
        _column("currency", TEXT, "ISO 4217 code; null when there is nothing to invoice."),
        _column("finalized_at", INSTANT, "When the API says it was finalized."),
        _column(
            "approved_by", TEXT, "Who had it finalized: as given with the approval, else the account of the command."
        ),
        _column("pdf_sha256", TEXT, "SHA-256 of the PDF under exports/customer_invoices, hex."),
        _column(
            "cost_checked", BOOLEAN, "False: prepared without waiting for the operators' verdicts; costs are null."
        ),
        _required(
            "orphaned_drafts",
            TEXT_LIST,
            "Drafts of no use any more: their ids, or when one was asked for whose id never arrived.",
        ),
        _column("credit_note_id", TEXT, "Id of the credit note that was asked for explicitly."),
        _column("credit_note_number", TEXT, "Its number, once it is finalized."),
        _column("credit_note_pdf_sha256", TEXT, "SHA-256 of its PDF, hex."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "customer_invoice_lines",
        "One row per line of a customer's invoice: a service active in the period that has a resale price.",
        ["customer_id", "period", "service_id"],
        _required("customer_id", TEXT, "The reseller's customer, as the inventory names it."),
        _required("period", MONTH, "The month invoiced, YYYY-MM."),
        _required("service_id", TEXT, "The service."),
        _required("description", TEXT, "The line's wording on the invoice."),
        _required("quantity", DECIMAL, "Units invoiced, always 1."),
        _required("unit_price_ht", DECIMAL, "The resale price for the days active, excluding tax, in cents."),
        _required("total_ht", DECIMAL, "Quantity x unit price, in the invoice's currency."),
        _required("vat_code", TEXT, "The customer's VAT code, for example FR_2000 for 20 %."),
        _column("cost_ht", DECIMAL, "What the operator billed for the service in the period; null where not known."),
        _column("margin_ht", DECIMAL, "total_ht less cost_ht; null where the cost is."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "customer_invoice_events",
        "One row per thing intended, done or found out; the same as the journal under data_dir/rebilling.",
        ["customer_id", "period", "sequence"],
        _required("customer_id", TEXT, "The reseller's customer, as the inventory names it."),
        _required("period", MONTH, "The month invoiced, YYYY-MM."),
        _required("sequence", INTEGER, "Its place among those of the customer and period, from 1."),
        _required("at", INSTANT, "When it was written."),
        _required("event", TEXT, "planned, withdrawn, intent, outcome, found, downloaded or differs."),
        _required("content", JSON, "What it says; amounts as decimal texts."),
        _required("digest", TEXT, "SHA-256 over this event and the digest before it, hex."),
        _required("run_id", TEXT, "The run that wrote it."),
    )


def downgrade() -> None:
    for name in TABLES:
        op.drop_table(name, schema="rebilling")
