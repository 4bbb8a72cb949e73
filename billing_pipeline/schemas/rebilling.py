"""The registry of what is kept about re-invoicing, in schema `rebilling`: not per operator, never rebuilt from documents.

Nothing of it can be computed again: which numbers customers were given stands here, in the journal and at the API alone.
"""

from billing_pipeline.schemas.columns import PROVENANCE, Column, Kind, Table

TEXT, DECIMAL = Kind.TEXT, Kind.DECIMAL
_CUSTOMER = (
    Column("customer_id", TEXT, "The reseller's customer, as the inventory names it.", nullable=False),
    Column("period", Kind.PERIOD, "The month invoiced, YYYY-MM.", nullable=False),
)

CUSTOMER_INVOICES = Table(
    name="customer_invoices",
    grain="One row per customer and period that was ever to be invoiced: what became of it.",
    key=("customer_id", "period"),
    columns=(
        *_CUSTOMER,
        Column("state", TEXT, "PLANNED, DRAFT, FINALIZED or NEEDS_REVIEW.", nullable=False),
        Column("state_detail", TEXT, "What needs review, what was left out, what has changed since it was finalized."),
        Column("invoicing_id", TEXT, "The document's id at the invoicing API; null while there is none."),
        Column("number", TEXT, "The invoice number the API gave it when it was finalized."),
        Column("total_ht", DECIMAL, "Sum of our lines excluding tax, in currency.", nullable=False),
        Column("total_ttc", DECIMAL, "Total including tax as read back from the API; null before."),
        Column("currency", TEXT, "ISO 4217 code; null when there is nothing to invoice."),
        Column("finalized_at", Kind.INSTANT, "When the API says it was finalized."),
        Column(
            "approved_by", TEXT, "Who had it finalized: as given with the approval, else the account of the command."
        ),
        Column("pdf_sha256", TEXT, "SHA-256 of the PDF under exports/customer_invoices, hex."),
        Column(
            "cost_checked", Kind.BOOLEAN, "False: prepared without waiting for the operators' verdicts; costs are null."
        ),
        Column(
            "orphaned_drafts",
            Kind.TEXT_LIST,
            "Drafts of no use any more: their ids, or when one was asked for whose id never arrived.",
            nullable=False,
        ),
        Column("credit_note_id", TEXT, "Id of the credit note that was asked for explicitly."),
        Column("credit_note_number", TEXT, "Its number, once it is finalized."),
        Column("credit_note_pdf_sha256", TEXT, "SHA-256 of its PDF, hex."),
        *PROVENANCE,
    ),
    in_parquet=False,
)

CUSTOMER_INVOICE_LINES = Table(
    name="customer_invoice_lines",
    grain="One row per line of a customer's invoice: a service active in the period that has a resale price.",
    key=("customer_id", "period", "service_id"),
    columns=(
        *_CUSTOMER,
        Column("service_id", TEXT, "The service.", nullable=False),
        Column("description", TEXT, "The line's wording on the invoice.", nullable=False),
        Column("quantity", DECIMAL, "Units invoiced, always 1.", nullable=False),
        Column(
            "unit_price_ht", DECIMAL, "The resale price for the days active, excluding tax, in cents.", nullable=False
        ),
        Column("total_ht", DECIMAL, "Quantity x unit price, in the invoice's currency.", nullable=False),
        Column("vat_code", TEXT, "The customer's VAT code, for example FR_2000 for 20 %.", nullable=False),
        Column("cost_ht", DECIMAL, "What the operator billed for the service in the period; null where not known."),
        Column("margin_ht", DECIMAL, "total_ht less cost_ht; null where the cost is."),
        *PROVENANCE,
    ),
    in_parquet=False,
)

CUSTOMER_INVOICE_EVENTS = Table(
    name="customer_invoice_events",
    grain="One row per thing intended, done or found out; the same as the journal under data_dir/rebilling.",
    key=("customer_id", "period", "sequence"),
    columns=(
        *_CUSTOMER,
        Column("sequence", Kind.INTEGER, "Its place among those of the customer and period, from 1.", nullable=False),
        Column("at", Kind.INSTANT, "When it was written.", nullable=False),
        Column("event", TEXT, "planned, withdrawn, intent, outcome, found, downloaded or differs.", nullable=False),
        Column("content", Kind.JSON, "What it says; amounts as decimal texts.", nullable=False),
        Column("digest", TEXT, "SHA-256 over this event and the digest before it, hex.", nullable=False),
        Column("run_id", TEXT, "The run that wrote it.", nullable=False),
    ),
    in_parquet=False,
)

REBILLING_TABLES: tuple[Table, ...] = (CUSTOMER_INVOICES, CUSTOMER_INVOICE_LINES, CUSTOMER_INVOICE_EVENTS)
