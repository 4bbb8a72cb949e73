"""The registry of output tables: the one place where a column is named, typed and explained.

PostgreSQL tables (sql.py), Parquet schemas (arrow.py) and pandera models (frames.py) are derived from it.
"""

from billing_pipeline.schemas.columns import Column, Kind, Table, table
from billing_pipeline.schemas.r189 import R189_COLUMNS

TEXT, DATE, DECIMAL, INTEGER = Kind.TEXT, Kind.DATE, Kind.DECIMAL, Kind.INTEGER

_LINE_KEYS = (
    Column("installed_offer_id", TEXT, "Identifier of the installed offer, as the operator names the access."),
    Column("external_reference", TEXT, "The reseller's own reference as sent with the order."),
    Column("serial_number", TEXT, "Serial number of the equipment on the access."),
    Column("order_reference", TEXT, "Reference of the order that created the access."),
)

_OWN_FILE = (
    Column(
        "source_sha256", TEXT, "The file as it was when this row was new or changed; kept under raw/.", nullable=False
    ),
    Column("source_row", INTEGER, "Record in that file: 1 is the first after the header.", nullable=False),
)

SOURCE_DOCUMENTS = table(
    "source_documents",
    "One row per document that counts for the partition: an API answer, a charge file, an inventory file.",
    ("sha256",),
    Column("sha256", TEXT, "SHA-256 of the bytes as received, hex; the document's name under raw/."),
    Column("location", TEXT, "URL or path it came from, without secrets."),
    Column("media_type", TEXT, "Media type of the bytes."),
    Column("bytes", INTEGER, "Length as received."),
    Column("fetched_at", Kind.INSTANT, "When it was first received."),
    Column("declared_count", INTEGER, "Records the source declared for it, where it did."),
    Column("collected_count", INTEGER, "Records found in it."),
    Column("profile", Kind.JSON, "How it was read: encoding, number and date styles, column mapping."),
)

INVOICES = table(
    "invoices",
    "One row per invoice or credit note the operator issued.",
    ("invoice_id",),
    Column("invoice_id", TEXT, "The operator's invoice number."),
    Column("operator_name", TEXT, "The operator's name."),
    Column("document_type", TEXT, "invoice or credit_note."),
    Column("invoice_date", DATE, "Date on the invoice; null for sources that state none."),
    Column("received_at", Kind.INSTANT, "When the source says it received the invoice."),
    Column("currency", TEXT, "ISO 4217 code."),
    Column("total_ht", DECIMAL, "Total excluding tax, in currency; negative for credits."),
    Column("total_ttc", DECIMAL, "Total including tax, in currency."),
    Column("line_count", INTEGER, "Lines the source declares, else lines read."),
    Column("source_status", TEXT, "The hub's own reconciliation status, where it gives one."),
    Column("source_type", TEXT, "Which kind of source brought it: netwo, orange_b2b, r189_files."),
    Column("source_sha256", TEXT, "The document it was read from."),
)

INVOICE_LINES = table(
    "invoice_lines",
    "One row per charge line of an invoice, as billed.",
    ("invoice_id", "line_id"),
    Column("invoice_id", TEXT, "The invoice it belongs to."),
    Column("line_id", TEXT, "The source's line id; for R189 the file's first 8 hash digits and the row number."),
    Column("service_id", TEXT, "The service as stated by the source; null where it states none."),
    Column("charge_type", TEXT, "recurring, one_off or usage.", nullable=False),
    Column("document_type", TEXT, "invoice or credit_note.", nullable=False),
    Column("description", TEXT, "The charge as the operator words it."),
    Column("service_description", TEXT, "The service as the operator words it."),
    Column("quantity", DECIMAL, "Units billed."),
    Column("unit_price_ht", DECIMAL, "Price of one unit excluding tax, in currency."),
    Column("total_ht", DECIMAL, "The line's amount excluding tax, in currency; negative for credits.", nullable=False),
    Column("currency", TEXT, "ISO 4217 code of the charge.", nullable=False),
    Column("tax_rate", DECIMAL, "Percent."),
    Column("tax_amount", DECIMAL, "Tax, in currency."),
    Column("total_ttc", DECIMAL, "Amount including tax, in currency."),
    Column("service_from", DATE, "First service day the line states."),
    Column("service_to", DATE, "Last service day the line states, included."),
    Column("charge_month", Kind.PERIOD, "The month the line states, YYYY-MM."),
    Column("frequency", TEXT, "The operator's word for how often the charge recurs."),
    Column("number_of_days", DECIMAL, "Days the operator says it bills."),
    Column("monthly_price", DECIMAL, "Price of a full month the operator states, in currency."),
    Column("pre_discount_amount", DECIMAL, "Amount before discount, in currency."),
    Column("discount_percent", DECIMAL, "Percent."),
    Column("discount_amount", DECIMAL, "Discount, in currency."),
    Column("exchange_rate", Kind.RATE, "From charge to invoicing currency, as stated."),
    Column("invoicing_amount", DECIMAL, "The amount in the invoicing currency."),
    Column("invoicing_currency", TEXT, "ISO 4217 code."),
    Column("account_number", TEXT, "The billing account."),
    Column("site_id", TEXT, "The site; names a building, never a service."),
    Column("speed", TEXT, "As stated."),
    Column("bandwidth", TEXT, "As stated."),
    *_LINE_KEYS,
    Column("po_reference", TEXT, "Purchase order."),
    Column("source_sha256", TEXT, "The document it was read from.", nullable=False),
    Column("source_row", INTEGER, "Record in that document: 1 is the first after the header.", nullable=False),
)

LINE_ALLOCATIONS = table(
    "line_allocations",
    "One row per line and calendar month it has service days in; a line's shares add up to the line.",
    ("invoice_id", "line_id", "service_month"),
    Column("invoice_id", TEXT, "The line's invoice."),
    Column("line_id", TEXT, "The line."),
    Column("service_month", Kind.PERIOD, "The month this share is for."),
    Column("days", INTEGER, "Days of that month the line covers.", nullable=False),
    Column("amount_ht", DECIMAL, "The share, in currency.", nullable=False),
    Column("currency", TEXT, "ISO 4217 code of the charge.", nullable=False),
    Column("invoicing_amount", DECIMAL, "The share of the invoicing amount."),
    Column("invoicing_currency", TEXT, "ISO 4217 code."),
)

SERVICES = table(
    "services",
    "One row per service of the operator in the inventory as used for the period.",
    ("service_id",),
    Column("service_id", TEXT, "The service."),
    Column("description", TEXT, "What it is."),
    Column("customer_id", TEXT, "The customer it is resold to."),
    Column("currency", TEXT, "ISO 4217 code of the contract.", nullable=False),
    Column("monthly_price_ht", DECIMAL, "Contract price per month excluding tax, in currency.", nullable=False),
    Column("discount_percent", DECIMAL, "Percent off the price.", nullable=False),
    Column("activated_on", DATE, "First day of service.", nullable=False),
    Column("terminated_on", DATE, "Last day of service; null while open."),
    *_LINE_KEYS,
    Column("resale_price_ht", DECIMAL, "What the customer pays per month excluding tax."),
    Column("expected_amount", DECIMAL, "What the operator should bill for the period, in currency.", nullable=False),
    Column("active_days", INTEGER, "Days of service in the period; 0 while inactive.", nullable=False),
)

SERVICE_PRICES = table(
    "service_prices",
    "One row per price in a service's history, as used for the period.",
    ("service_id", "valid_from"),
    Column("service_id", TEXT, "The service."),
    Column("valid_from", DATE, "First day the price applies."),
    Column("monthly_price_ht", DECIMAL, "Price per month excluding tax, in the contract's currency.", nullable=False),
)

EXPECTED_CHARGES = table(
    "expected_charges",
    "One row per one-off charge the reseller expects for the period.",
    ("position",),
    Column("position", INTEGER, "Record in the file: 1 is the first after the header."),
    Column("service_id", TEXT, "The service.", nullable=False),
    Column("amount_ht", DECIMAL, "Amount excluding tax, in the contract's currency.", nullable=False),
    Column("description", TEXT, "What it is for."),
)

REJECTED_ROWS = table(
    "rejected_rows",
    "One row per rule a source row breaks; a rejected row is not loaded.",
    ("source_sha256", "source_row", "column_name", "check_name"),
    Column("source_sha256", TEXT, "The document."),
    Column("source_row", INTEGER, "Record in it: 1 is the first after the header."),
    Column("column_name", TEXT, "Header of the column at fault; empty where the whole row is."),
    Column("check_name", TEXT, "The rule, for example type, required, field_count, superseded."),
    Column("message", TEXT, "What is wrong, without the personal fields.", nullable=False),
    Column("raw", TEXT, "The row as received, personal fields masked; null where fields cannot be told apart."),
    Column("invoice_id", TEXT, "The row's invoice number (R189: Invoice number), where it has all its fields."),
    *_LINE_KEYS,
)

INVOICE_FINDINGS = table(
    "invoice_findings",
    "One row per contradiction inside an invoice, found without looking at the inventory.",
    ("invoice_id", "line_id", "code", "subject"),
    Column("invoice_id", TEXT, "The invoice; empty for a finding about a file."),
    Column("line_id", TEXT, "The line; empty for a finding about the invoice."),
    Column("code", TEXT, "INVOICE_FOOTING, LINE_COUNT, LINE_ARITHMETIC, VAT_AMOUNT, DUPLICATE_INVOICE, FILE_PERIOD."),
    Column("subject", TEXT, "What the figures are about: ht, ttc, rate=20, quantity, discount…"),
    Column("expected", DECIMAL, "What should stand there, in the invoice's currency or as a count."),
    Column("actual", DECIMAL, "What stands there."),
    Column("difference", DECIMAL, "Actual less expected."),
    Column("note", TEXT, "The finding in words, where figures do not say it."),
)

RECONCILIATION_ITEMS = table(
    "reconciliation_items",
    "One row per active service and per line that is no service's: each with a verdict.",
    ("item_id",),
    Column("item_id", TEXT, "service:<service_id> or line:<invoice_id>:<line_id>; stable from run to run."),
    Column("side", TEXT, "service or line: what the item is counted as.", nullable=False),
    Column("service_id", TEXT, "The service, where one is known."),
    Column("invoice_id", TEXT, "Invoice of the line with the largest share."),
    Column("invoice_line_id", TEXT, "That line."),
    Column("invoice_line_ids", Kind.TEXT_LIST, "All lines of the item, invoice_id:line_id.", nullable=False),
    Column("status", TEXT, "MATCHED, UNMATCHED or DISCREPANCY.", nullable=False),
    Column("service_amount", DECIMAL, "What was expected, in the contract's currency; null when that side is missing."),
    Column("invoice_amount", DECIMAL, "What was billed for the period, in currency; null when that side is missing."),
    Column("difference", DECIMAL, "Billed less expected, a missing side counting 0; null across currencies."),
    Column("currency", TEXT, "ISO 4217 code.", nullable=False),
    Column("reason_code", TEXT, "The weightiest reason; null when expected and billed are equal."),
    Column("match_key", TEXT, "The key by which the line was attributed."),
    Column("detail", TEXT, "The verdict in French, as the hub words it; null when matched."),
)

RECONCILIATION_REASONS = table(
    "reconciliation_reasons",
    "One row per item and reason; an item's reasons add up to its difference.",
    ("item_id", "reason_code"),
    Column("item_id", TEXT, "The item."),
    Column("reason_code", TEXT, "Why, from the decomposition."),
    Column("amount", DECIMAL, "The part of the difference it explains, in the item's currency.", nullable=False),
    Column("note", TEXT, "What the reason rests on, for example the other convention that fits."),
)

RECONCILIATION_SUMMARY = table(
    "reconciliation_summary",
    "One row per operator and period.",
    (),
    Column("state", TEXT, "EVALUATED or NOT_EVALUATED.", nullable=False),
    Column("state_detail", TEXT, "Why it is not evaluated, what the latest attempt lacked, other currencies."),
    Column("total_services", INTEGER, "Active services: matched + unmatched + discrepancies."),
    Column("matched", INTEGER, "Service-side items MATCHED."),
    Column("unmatched", INTEGER, "Service-side items UNMATCHED."),
    Column("discrepancies", INTEGER, "Service-side items DISCREPANCY."),
    Column("line_items", INTEGER, "Line-side items."),
    Column("orphan_lines", INTEGER, "Line-side items UNMATCHED."),
    Column("orphan_amount", DECIMAL, "What they bill, in the currency of most contracts."),
    Column("service_amount", DECIMAL, "Sum over items, in the currency of most contracts."),
    Column("invoice_amount", DECIMAL, "Sum over items, in the currency of most contracts."),
    Column("difference", DECIMAL, "Invoice amount less service amount."),
    Column("files", INTEGER, "Source documents read, inventory files not counted."),
    Column("rows_read", INTEGER, "Rows in them."),
    Column("rows_rejected", INTEGER, "Rows rejected, superseded ones included."),
)

RECONCILIATION_HISTORY = table(
    "reconciliation_history",
    "One row per item and evaluation that changed its verdict; never changed, never rebuilt, only restored from a backup.",
    ("item_id", "changed_at"),
    Column("item_id", TEXT, "The item."),
    Column("changed_at", Kind.INSTANT, "When the verdict was replaced."),
    Column("changed_by_run", TEXT, "The run that replaced it.", nullable=False),
    Column("status_before", TEXT, "Null where there was no such item."),
    Column("status_after", TEXT, "Null where there is no such item any more."),
    Column("reason_code_before", TEXT, "The weightiest reason then."),
    Column("reason_code_after", TEXT, "The weightiest reason since."),
    Column("service_amount_before", DECIMAL, "What was expected then, in the contract's currency."),
    Column("service_amount_after", DECIMAL, "What is expected since."),
    Column("invoice_amount_before", DECIMAL, "What was found billed then, in currency_before."),
    Column("invoice_amount_after", DECIMAL, "What is found billed since, in currency_after."),
    Column("difference_before", DECIMAL, "Billed less expected then; null across currencies."),
    Column("difference_after", DECIMAL, "Billed less expected since; null across currencies."),
    Column("currency_before", TEXT, "ISO 4217 code then."),
    Column("currency_after", TEXT, "ISO 4217 code since."),
    Column(
        "documents",
        Kind.TEXT_LIST,
        "SHA-256 of the documents that changed it; empty: terms or rules did.",
        nullable=False,
    ),
)

SOURCE_VERDICTS = table(
    "source_verdicts",
    "One row per service or line on which the hub's own reconciliation has a verdict, or ours has: both side by side.",
    ("service_id", "invoice_line_id"),
    Column("service_id", TEXT, "The service; empty where the hub's item names none."),
    Column("invoice_line_id", TEXT, "The line the hub names; empty where it names none."),
    Column("source_status", TEXT, "The hub's verdict; null where it has none on this service."),
    Column("source_service_amount", DECIMAL, "What the hub expected."),
    Column("source_invoice_amount", DECIMAL, "What the hub found billed."),
    Column("source_detail", TEXT, "The hub's own words."),
    Column("status", TEXT, "Our verdict; null where we have none on it."),
    Column("service_amount", DECIMAL, "What we expected, in the contract's currency."),
    Column("invoice_amount", DECIMAL, "What we found billed for the period."),
    Column("agrees", Kind.BOOLEAN, "Whether both verdicts and both amounts are the same.", nullable=False),
)

INVOICE_RECONCILIATION = table(
    "invoice_reconciliation",
    "One row per invoice and evaluated period in which it has lines.",
    ("invoice_id",),
    Column("invoice_id", TEXT, "The invoice."),
    Column("reconciliation_status", TEXT, "The worst verdict of its lines in that period.", nullable=False),
)

R189_CHARGES = table(
    "r189_charges",
    "One row per loaded R189 charge row, all 50 columns, typed; personal fields included, so Parquet only.",
    ("source_sha256", "source_row"),
    Column("source_sha256", TEXT, "The file."),
    Column("source_row", INTEGER, "Record in it: 1 is the first after the header."),
    *(Column(field.name, field.kind, f"R189 column {field.header}.") for field in R189_COLUMNS),
    in_postgres=False,
)

PAYMENTS = table(
    "payments",
    "One row per invoice and day it was paid on, as the payments file says; its partition is the month of that day.",
    ("invoice_id", "paid_on"),
    Column("invoice_id", TEXT, "The operator's invoice number."),
    Column("paid_on", DATE, "The day it was paid, in part or in full: from it the time to claim is counted."),
    *_OWN_FILE,
)

DISPUTES = table(
    "disputes",
    "One row per verdict and dispute sent about it, as the disputes file says; its partition is the disputed month.",
    ("item_id", "reference"),
    Column("item_id", TEXT, "The verdict disputed, in reconciliation_items of the same month."),
    Column("reference", TEXT, "The dispute's reference with the operator; empty where the file gives none."),
    Column("sent_on", DATE, "The day it was sent.", nullable=False),
    Column("status", TEXT, "sent, accepted or refused.", nullable=False),
    Column("credited_amount", DECIMAL, "Credit received for it, in the item's currency; 0 while none.", nullable=False),
    *_OWN_FILE,
)

TABLES: tuple[Table, ...] = (
    SOURCE_DOCUMENTS,
    INVOICES,
    INVOICE_LINES,
    LINE_ALLOCATIONS,
    SERVICES,
    SERVICE_PRICES,
    EXPECTED_CHARGES,
    REJECTED_ROWS,
    INVOICE_FINDINGS,
    RECONCILIATION_ITEMS,
    RECONCILIATION_REASONS,
    RECONCILIATION_SUMMARY,
    INVOICE_RECONCILIATION,
    RECONCILIATION_HISTORY,
    SOURCE_VERDICTS,
    PAYMENTS,
    DISPUTES,
    R189_CHARGES,
)
BY_NAME = {one.name: one for one in TABLES}
