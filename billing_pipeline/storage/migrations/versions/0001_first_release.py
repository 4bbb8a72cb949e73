"""The schema as first released: every table of `billing` with its checks and comments, and the status view.

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

TEXT, MONTH, DATE, INSTANT = sa.Text(), sa.CHAR(7), sa.Date(), sa.DateTime(timezone=True)
DECIMAL, RATE, INTEGER = sa.Numeric(18, 6), sa.Numeric(28, 12), sa.BigInteger()
TEXT_LIST, JSON, BOOLEAN = postgresql.ARRAY(sa.Text()), postgresql.JSONB(), sa.Boolean()


def _create(name: str, comment: str, key: list[str], *columns: "sa.Column[Any]") -> None:
    """The table, with a check on every numeric column that refuses NaN and on every month that it is one."""
    checks = []
    for column in columns:
        if column.type in (DECIMAL, RATE):
            condition, rule = f"{column.name} <> 'NaN'", "is_a_number"
        elif column.type is MONTH:
            condition, rule = f"{column.name} ~ '^[0-9]{{4}}-(0[1-9]|1[0-2])$'", "is_a_month"
        else:
            continue
        checks.append(sa.CheckConstraint(condition, name=f"{name}_{column.name}_{rule}"))
    primary_key = sa.PrimaryKeyConstraint(*key, name=f"{name}_pkey")
    op.create_table(name, *columns, primary_key, *checks, schema="billing", comment=comment)


def _column(name: str, kind: Any, comment: str) -> "sa.Column[Any]":
    return sa.Column(name, kind, nullable=True, comment=comment)


def _required(name: str, kind: Any, comment: str) -> "sa.Column[Any]":
    return sa.Column(name, kind, nullable=False, comment=comment)


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS billing")
    _create_source_tables()
    _create_line_tables()
    _create_verdict_tables()
    _create_internal_tables()
    op.execute(INVOICES_WITH_STATUS)
    op.execute(
        "COMMENT ON VIEW billing.invoices_with_status IS 'invoices, with the worst verdict over the evaluated periods each has lines in.'"
    )


def downgrade() -> None:
    op.execute("DROP VIEW billing.invoices_with_status")
    for name in TABLES:
        op.drop_table(name, schema="billing")


def _create_source_tables() -> None:
    _create(
        "source_documents",
        "One row per document that counts for the partition: an API answer, a charge file, an inventory file.",
        ["operator_code", "period", "sha256"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("sha256", TEXT, "SHA-256 of the bytes as received, hex; the document's name under raw/."),
        _column("location", TEXT, "URL or path it came from, without secrets."),
        _column("media_type", TEXT, "Media type of the bytes."),
        _column("bytes", INTEGER, "Length as received."),
        _column("fetched_at", INSTANT, "When it was first received."),
        _column("declared_count", INTEGER, "Records the source declared for it, where it did."),
        _column("collected_count", INTEGER, "Records found in it."),
        _column("profile", JSON, "How it was read: encoding, number and date styles, column mapping."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "invoices",
        "One row per invoice or credit note the operator issued.",
        ["operator_code", "period", "invoice_id"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("invoice_id", TEXT, "The operator's invoice number."),
        _column("operator_name", TEXT, "The operator's name."),
        _column("document_type", TEXT, "invoice or credit_note."),
        _column("invoice_date", DATE, "Date on the invoice; null for sources that state none."),
        _column("received_at", INSTANT, "When the source says it received the invoice."),
        _column("currency", TEXT, "ISO 4217 code."),
        _column("total_ht", DECIMAL, "Total excluding tax, in currency; negative for credits."),
        _column("total_ttc", DECIMAL, "Total including tax, in currency."),
        _column("line_count", INTEGER, "Lines the source declares, else lines read."),
        _column("source_status", TEXT, "The hub's own reconciliation status, where it gives one."),
        _column("source_type", TEXT, "Which kind of source brought it: netwo, orange_b2b, r189_files."),
        _column("source_sha256", TEXT, "The document it was read from."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "services",
        "One row per service of the operator in the inventory as used for the period.",
        ["operator_code", "period", "service_id"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("service_id", TEXT, "The service."),
        _column("description", TEXT, "What it is."),
        _column("customer_id", TEXT, "The customer it is resold to."),
        _required("currency", TEXT, "ISO 4217 code of the contract."),
        _required("monthly_price_ht", DECIMAL, "Contract price per month excluding tax, in currency."),
        _required("discount_percent", DECIMAL, "Percent off the price."),
        _required("activated_on", DATE, "First day of service."),
        _column("terminated_on", DATE, "Last day of service; null while open."),
        _column("installed_offer_id", TEXT, "Identifier of the installed offer, as the operator names the access."),
        _column("external_reference", TEXT, "The reseller's own reference as sent with the order."),
        _column("serial_number", TEXT, "Serial number of the equipment on the access."),
        _column("order_reference", TEXT, "Reference of the order that created the access."),
        _column("resale_price_ht", DECIMAL, "What the customer pays per month excluding tax."),
        _required("expected_amount", DECIMAL, "What the operator should bill for the period, in currency."),
        _required("active_days", INTEGER, "Days of service in the period; 0 while inactive."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "rejected_rows",
        "One row per rule a source row breaks; a rejected row is not loaded.",
        ["operator_code", "period", "source_sha256", "source_row", "column_name", "check_name"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("source_sha256", TEXT, "The document."),
        _required("source_row", INTEGER, "Record in it: 1 is the first after the header."),
        _required("column_name", TEXT, "Header of the column at fault; empty where the whole row is."),
        _required("check_name", TEXT, "The rule, for example type, required, field_count, superseded."),
        _required("message", TEXT, "What is wrong, without the personal fields."),
        _column("raw", TEXT, "The row as received, personal fields masked; null where fields cannot be told apart."),
        _column("invoice_id", TEXT, "The row's invoice number (R189: Invoice number), where it has all its fields."),
        _column("installed_offer_id", TEXT, "Identifier of the installed offer, as the operator names the access."),
        _column("external_reference", TEXT, "The reseller's own reference as sent with the order."),
        _column("serial_number", TEXT, "Serial number of the equipment on the access."),
        _column("order_reference", TEXT, "Reference of the order that created the access."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "invoice_findings",
        "One row per contradiction inside an invoice, found without looking at the inventory.",
        ["operator_code", "period", "invoice_id", "line_id", "code", "subject"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("invoice_id", TEXT, "The invoice; empty for a finding about a file."),
        _required("line_id", TEXT, "The line; empty for a finding about the invoice."),
        _required(
            "code", TEXT, "INVOICE_FOOTING, LINE_COUNT, LINE_ARITHMETIC, VAT_AMOUNT, DUPLICATE_INVOICE, FILE_PERIOD."
        ),
        _required("subject", TEXT, "What the figures are about: ht, ttc, rate=20, quantity, discount…"),
        _column("expected", DECIMAL, "What should stand there, in the invoice's currency or as a count."),
        _column("actual", DECIMAL, "What stands there."),
        _column("difference", DECIMAL, "Actual less expected."),
        _column("note", TEXT, "The finding in words, where figures do not say it."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )


def _create_line_tables() -> None:
    _create(
        "invoice_lines",
        "One row per charge line of an invoice, as billed.",
        ["operator_code", "period", "invoice_id", "line_id"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("invoice_id", TEXT, "The invoice it belongs to."),
        _required("line_id", TEXT, "The source's line id; for R189 the file's first 8 hash digits and the row number."),
        _column("service_id", TEXT, "The service as stated by the source; null where it states none."),
        _required("charge_type", TEXT, "recurring, one_off or usage."),
        _required("document_type", TEXT, "invoice or credit_note."),
        _column("description", TEXT, "The charge as the operator words it."),
        _column("service_description", TEXT, "The service as the operator words it."),
        _column("quantity", DECIMAL, "Units billed."),
        _column("unit_price_ht", DECIMAL, "Price of one unit excluding tax, in currency."),
        _required("total_ht", DECIMAL, "The line's amount excluding tax, in currency; negative for credits."),
        _required("currency", TEXT, "ISO 4217 code of the charge."),
        _column("tax_rate", DECIMAL, "Percent."),
        _column("tax_amount", DECIMAL, "Tax, in currency."),
        _column("total_ttc", DECIMAL, "Amount including tax, in currency."),
        _column("service_from", DATE, "First service day the line states."),
        _column("service_to", DATE, "Last service day the line states, included."),
        _column("charge_month", MONTH, "The month the line states, YYYY-MM."),
        _column("frequency", TEXT, "The operator's word for how often the charge recurs."),
        _column("number_of_days", DECIMAL, "Days the operator says it bills."),
        _column("monthly_price", DECIMAL, "Price of a full month the operator states, in currency."),
        _column("pre_discount_amount", DECIMAL, "Amount before discount, in currency."),
        _column("discount_percent", DECIMAL, "Percent."),
        _column("discount_amount", DECIMAL, "Discount, in currency."),
        _column("exchange_rate", RATE, "From charge to invoicing currency, as stated."),
        _column("invoicing_amount", DECIMAL, "The amount in the invoicing currency."),
        _column("invoicing_currency", TEXT, "ISO 4217 code."),
        _column("account_number", TEXT, "The billing account."),
        _column("site_id", TEXT, "The site; names a building, never a service."),
        _column("speed", TEXT, "As stated."),
        _column("bandwidth", TEXT, "As stated."),
        _column("installed_offer_id", TEXT, "Identifier of the installed offer, as the operator names the access."),
        _column("external_reference", TEXT, "The reseller's own reference as sent with the order."),
        _column("serial_number", TEXT, "Serial number of the equipment on the access."),
        _column("order_reference", TEXT, "Reference of the order that created the access."),
        _column("po_reference", TEXT, "Purchase order."),
        _required("source_sha256", TEXT, "The document it was read from."),
        _required("source_row", INTEGER, "Record in that document: 1 is the first after the header."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "line_allocations",
        "One row per line and calendar month it has service days in; a line's shares add up to the line.",
        ["operator_code", "period", "invoice_id", "line_id", "service_month"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("invoice_id", TEXT, "The line's invoice."),
        _required("line_id", TEXT, "The line."),
        _required("service_month", MONTH, "The month this share is for."),
        _required("days", INTEGER, "Days of that month the line covers."),
        _required("amount_ht", DECIMAL, "The share, in currency."),
        _required("currency", TEXT, "ISO 4217 code of the charge."),
        _column("invoicing_amount", DECIMAL, "The share of the invoicing amount."),
        _column("invoicing_currency", TEXT, "ISO 4217 code."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )


def _create_verdict_tables() -> None:
    _create(
        "reconciliation_items",
        "One row per active service and per line that is no service's: each with a verdict.",
        ["operator_code", "period", "item_id"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("item_id", TEXT, "service:<service_id> or line:<invoice_id>:<line_id>; stable from run to run."),
        _required("side", TEXT, "service or line: what the item is counted as."),
        _column("service_id", TEXT, "The service, where one is known."),
        _column("invoice_id", TEXT, "Invoice of the line with the largest share."),
        _column("invoice_line_id", TEXT, "That line."),
        _required("invoice_line_ids", TEXT_LIST, "All lines of the item, invoice_id:line_id."),
        _required("status", TEXT, "MATCHED, UNMATCHED or DISCREPANCY."),
        _column(
            "service_amount", DECIMAL, "What was expected, in the contract's currency; null when that side is missing."
        ),
        _column(
            "invoice_amount", DECIMAL, "What was billed for the period, in currency; null when that side is missing."
        ),
        _column("difference", DECIMAL, "Billed less expected, a missing side counting 0; null across currencies."),
        _required("currency", TEXT, "ISO 4217 code."),
        _column("reason_code", TEXT, "The weightiest reason; null when expected and billed are equal."),
        _column("match_key", TEXT, "The key by which the line was attributed."),
        _column("detail", TEXT, "The verdict in French, as the hub words it; null when matched."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "reconciliation_reasons",
        "One row per item and reason; an item's reasons add up to its difference.",
        ["operator_code", "period", "item_id", "reason_code"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("item_id", TEXT, "The item."),
        _required("reason_code", TEXT, "Why, from the decomposition."),
        _required("amount", DECIMAL, "The part of the difference it explains, in the item's currency."),
        _column("note", TEXT, "What the reason rests on, for example the other convention that fits."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "reconciliation_summary",
        "One row per operator and period.",
        ["operator_code", "period"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("state", TEXT, "EVALUATED or NOT_EVALUATED."),
        _column("state_detail", TEXT, "Why it is not evaluated, what the latest attempt lacked, other currencies."),
        _column("total_services", INTEGER, "Active services: matched + unmatched + discrepancies."),
        _column("matched", INTEGER, "Service-side items MATCHED."),
        _column("unmatched", INTEGER, "Service-side items UNMATCHED."),
        _column("discrepancies", INTEGER, "Service-side items DISCREPANCY."),
        _column("line_items", INTEGER, "Line-side items."),
        _column("orphan_lines", INTEGER, "Line-side items UNMATCHED."),
        _column("orphan_amount", DECIMAL, "What they bill, in the currency of most contracts."),
        _column("service_amount", DECIMAL, "Sum over items, in the currency of most contracts."),
        _column("invoice_amount", DECIMAL, "Sum over items, in the currency of most contracts."),
        _column("difference", DECIMAL, "Invoice amount less service amount."),
        _column("files", INTEGER, "Source documents read, inventory files not counted."),
        _column("rows_read", INTEGER, "Rows in them."),
        _column("rows_rejected", INTEGER, "Rows rejected, superseded ones included."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "invoice_reconciliation",
        "One row per invoice and evaluated period in which it has lines.",
        ["operator_code", "period", "invoice_id"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("invoice_id", TEXT, "The invoice."),
        _required("reconciliation_status", TEXT, "The worst verdict of its lines in that period."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "reconciliation_history",
        "One row per item and evaluation that changed its verdict; never changed, never rebuilt, only restored from a backup.",
        ["operator_code", "period", "item_id", "changed_at"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("item_id", TEXT, "The item."),
        _required("changed_at", INSTANT, "When the verdict was replaced."),
        _required("changed_by_run", TEXT, "The run that replaced it."),
        _column("status_before", TEXT, "Null where there was no such item."),
        _column("status_after", TEXT, "Null where there is no such item any more."),
        _column("reason_code_before", TEXT, "The weightiest reason then."),
        _column("reason_code_after", TEXT, "The weightiest reason since."),
        _column("service_amount_before", DECIMAL, "What was expected then, in the contract's currency."),
        _column("service_amount_after", DECIMAL, "What is expected since."),
        _column("invoice_amount_before", DECIMAL, "What was found billed then, in currency_before."),
        _column("invoice_amount_after", DECIMAL, "What is found billed since, in currency_after."),
        _column("difference_before", DECIMAL, "Billed less expected then; null across currencies."),
        _column("difference_after", DECIMAL, "Billed less expected since; null across currencies."),
        _column("currency_before", TEXT, "ISO 4217 code then."),
        _column("currency_after", TEXT, "ISO 4217 code since."),
        _required("documents", TEXT_LIST, "SHA-256 of the documents that changed it; empty: terms or rules did."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "source_verdicts",
        "One row per service or line on which the hub's own reconciliation has a verdict, or ours has: both side by side.",
        ["operator_code", "period", "service_id", "invoice_line_id"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("service_id", TEXT, "The service; empty where the hub's item names none."),
        _required("invoice_line_id", TEXT, "The line the hub names; empty where it names none."),
        _column("source_status", TEXT, "The hub's verdict; null where it has none on this service."),
        _column("source_service_amount", DECIMAL, "What the hub expected."),
        _column("source_invoice_amount", DECIMAL, "What the hub found billed."),
        _column("source_detail", TEXT, "The hub's own words."),
        _column("status", TEXT, "Our verdict; null where we have none on it."),
        _column("service_amount", DECIMAL, "What we expected, in the contract's currency."),
        _column("invoice_amount", DECIMAL, "What we found billed for the period."),
        _required("agrees", BOOLEAN, "Whether both verdicts and both amounts are the same."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "service_prices",
        "One row per price in a service's history, as used for the period.",
        ["operator_code", "period", "service_id", "valid_from"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("service_id", TEXT, "The service."),
        _required("valid_from", DATE, "First day the price applies."),
        _required("monthly_price_ht", DECIMAL, "Price per month excluding tax, in the contract's currency."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "expected_charges",
        "One row per one-off charge the reseller expects for the period.",
        ["operator_code", "period", "position"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("position", INTEGER, "Record in the file: 1 is the first after the header."),
        _required("service_id", TEXT, "The service."),
        _required("amount_ht", DECIMAL, "Amount excluding tax, in the contract's currency."),
        _column("description", TEXT, "What it is for."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )


def _create_internal_tables() -> None:
    _create(
        "invoice_documents",
        "One row per invoice number and document of the partition that holds it; internal.",
        ["operator_code", "period", "invoice_id", "source_sha256"],
        _required("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _required("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        _required("invoice_id", TEXT, "The operator's invoice number."),
        _required("source_sha256", TEXT, "The document."),
        _required("rows", INTEGER, "Rows of that invoice in it, rejected ones included."),
        _required("run_id", TEXT, "The Dagster run that wrote the row."),
        _required("loaded_at", INSTANT, "When that run wrote it."),
    )
    _create(
        "partition_loads",
        "One row per partition and phase: the ledger of what was last committed; internal.",
        ["operator_code", "period", "phase"],
        _required("operator_code", TEXT, "The operator (OI)."),
        _required("period", MONTH, "The partition, YYYY-MM."),
        _required("phase", TEXT, "collect or reconcile."),
        _required("state", TEXT, "State of what is loaded."),
        _column("state_detail", TEXT, "Why it is in that state."),
        _column("attempt_state", TEXT, "State of the latest attempt, where it replaced nothing."),
        _column("attempt_detail", TEXT, "What the latest attempt lacked."),
        _column("input_digest", TEXT, "Digest of everything the load was computed from."),
        _required("contents", JSON, "Per table: rows, sums of its decimal columns, load_id."),
        _column(
            "contributions",
            JSON,
            "What a load gives to months and invoices, what a verdict took: each with its digest.",
        ),
        _column("files", INTEGER, "Source documents read."),
        _column("rows_read", INTEGER, "Rows in them."),
        _column("rows_rejected", INTEGER, "Rows rejected, superseded ones not counted."),
        _required("run_id", TEXT, "The Dagster run that loaded it."),
        _required("loaded_at", INSTANT, "When that run loaded it."),
    )


TABLES = (
    "source_documents",
    "invoices",
    "services",
    "rejected_rows",
    "invoice_findings",
    "invoice_lines",
    "line_allocations",
    "reconciliation_items",
    "reconciliation_reasons",
    "reconciliation_summary",
    "invoice_reconciliation",
    "reconciliation_history",
    "source_verdicts",
    "service_prices",
    "expected_charges",
    "invoice_documents",
    "partition_loads",
)

INVOICES_WITH_STATUS = """\
CREATE VIEW billing.invoices_with_status AS
SELECT
    i.operator_code, i.period, i.invoice_id, i.operator_name, i.document_type, i.invoice_date,
    i.received_at, i.currency, i.total_ht, i.total_ttc, i.line_count, i.source_status,
    i.source_type, i.source_sha256, i.run_id, i.loaded_at,
    CASE
           WHEN r.invoice_id IS NULL THEN NULL
           WHEN r.any_discrepancy OR f.invoice_id IS NOT NULL THEN 'DISCREPANCY'
           WHEN r.any_unmatched THEN 'UNMATCHED'
           ELSE 'MATCHED'
       END AS reconciliation_status
FROM billing.invoices AS i
LEFT JOIN (
    SELECT operator_code, invoice_id,
           bool_or(reconciliation_status = 'DISCREPANCY') AS any_discrepancy,
           bool_or(reconciliation_status = 'UNMATCHED') AS any_unmatched
    FROM billing.invoice_reconciliation
    GROUP BY operator_code, invoice_id
) AS r ON r.operator_code = i.operator_code AND r.invoice_id = i.invoice_id
LEFT JOIN (
    SELECT DISTINCT operator_code, invoice_id FROM billing.invoice_findings
) AS f ON f.operator_code = i.operator_code AND f.invoice_id = i.invoice_id
"""
