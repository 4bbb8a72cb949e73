"""The registry as PostgreSQL tables: schema `billing` with two internal tables and the status view, schema `rebilling`.

What stands here is what the database should look like; how it gets there step by step is storage/migrations.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from billing_pipeline.schemas.columns import Column, Kind, Table, table
from billing_pipeline.schemas.rebilling import REBILLING_TABLES
from billing_pipeline.schemas.tables import TABLES

SCHEMA = "billing"
REBILLING_SCHEMA = "rebilling"
ANALYST = "billing_analyst"

SQL_TYPES: dict[Kind, sa.types.TypeEngine[Any]] = {
    Kind.TEXT: sa.Text(),
    Kind.PERIOD: sa.CHAR(7),
    Kind.DATE: sa.Date(),
    Kind.INSTANT: sa.DateTime(timezone=True),
    Kind.DECIMAL: sa.Numeric(18, 6),
    Kind.RATE: sa.Numeric(28, 12),
    Kind.INTEGER: sa.BigInteger(),
    Kind.BOOLEAN: sa.Boolean(),
    Kind.TEXT_LIST: postgresql.ARRAY(sa.Text()),
    Kind.JSON: postgresql.JSONB(),
}

# Which document holds which invoice number: what decides, when two documents hold the same one, whose rows count.
INVOICE_DOCUMENTS = table(
    "invoice_documents",
    "One row per invoice number and document of the partition that holds it; internal.",
    ("invoice_id", "source_sha256"),
    Column("invoice_id", Kind.TEXT, "The operator's invoice number."),
    Column("source_sha256", Kind.TEXT, "The document."),
    Column("rows", Kind.INTEGER, "Rows of that invoice in it, rejected ones included.", nullable=False),
    in_parquet=False,
)

PHASES = ("collect", "reconcile", "claims")
PARTITION_LOADS = Table(
    name="partition_loads",
    grain="One row per partition and phase: the ledger of what was last committed; internal.",
    key=("operator_code", "period", "phase"),
    columns=(
        Column("operator_code", Kind.TEXT, "The operator (OI).", nullable=False),
        Column("period", Kind.PERIOD, "The partition, YYYY-MM.", nullable=False),
        Column("phase", Kind.TEXT, "collect, reconcile or claims.", nullable=False),
        Column("state", Kind.TEXT, "State of what is loaded.", nullable=False),
        Column("state_detail", Kind.TEXT, "Why it is in that state."),
        Column("attempt_state", Kind.TEXT, "State of the latest attempt, where it replaced nothing."),
        Column("attempt_detail", Kind.TEXT, "What the latest attempt lacked."),
        Column("input_digest", Kind.TEXT, "Digest of everything the load was computed from."),
        Column("contents", Kind.JSON, "Per table: rows, sums of its decimal columns, load_id.", nullable=False),
        Column(
            "contributions",
            Kind.JSON,
            "What a load gives to months and invoices, what a verdict took: each with its digest.",
        ),
        Column("files", Kind.INTEGER, "Source documents read."),
        Column("rows_read", Kind.INTEGER, "Rows in them."),
        Column("rows_rejected", Kind.INTEGER, "Rows rejected, superseded ones included."),
        Column("run_id", Kind.TEXT, "The Dagster run that loaded it.", nullable=False),
        Column("loaded_at", Kind.INSTANT, "When that run loaded it.", nullable=False),
    ),
    in_parquet=False,
)

POSTGRES_TABLES: tuple[Table, ...] = (*(t for t in TABLES if t.in_postgres), INVOICE_DOCUMENTS, PARTITION_LOADS)

# Worst over all evaluated periods. A finding, wherever it was recorded, makes an invoice a DISCREPANCY, but only once
# one of its periods is evaluated: before that the status is null.
INVOICES_WITH_STATUS = """\
SELECT i.*,
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
) AS f ON f.operator_code = i.operator_code AND f.invoice_id = i.invoice_id"""
INVOICES_WITH_STATUS_COMMENT = "invoices, with the worst verdict over the evaluated periods each has lines in."
VIEWS = {"invoices_with_status": (INVOICES_WITH_STATUS, INVOICES_WITH_STATUS_COMMENT)}


# Besides the primary keys: invoices by their number and in the order they are listed, verdicts by invoice. Each name has
# its table and columns; that they are worth their upkeep was measured (migration 0003).
INDEXES = {
    "invoices_by_number": ("invoices", ("invoice_id",)),
    "invoices_in_listed_order": ("invoices", ("period", "operator_code", "invoice_id")),
    "invoice_reconciliation_by_invoice": ("invoice_reconciliation", ("operator_code", "invoice_id")),
}


def sql_table(one: Table, metadata: sa.MetaData) -> sa.Table:
    """`one` as a Core table: types, NOT NULL, primary key, checks and comments as the registry states them."""
    return sa.Table(
        one.name,
        metadata,
        *(sa.Column(c.name, SQL_TYPES[c.kind], nullable=c.nullable, comment=c.meaning) for c in one.columns),
        sa.PrimaryKeyConstraint(*one.key, name=f"{one.name}_pkey"),
        *_checks(one),
        *(sa.Index(name, *columns) for name, (table, columns) in INDEXES.items() if table == one.name),
        comment=one.grain,
    )


# Tables of millions of rows, where a regular expression per row and month took a tenth of the server's time (migration
# 0004): there a month equal to the row's period needs no look of its own, and the period's is put together of cheap ones.
_OF_MANY_ROWS = frozenset({"invoice_lines", "line_allocations"})
_MONTH = "{} ~ '^[0-9]{{4}}-(0[1-9]|1[0-2])$'"
_CHEAP_MONTH = (
    "period !~ '[^-0-9]' AND period NOT LIKE '%-%-%' AND (period LIKE '____-0_' AND period NOT LIKE '%0'"
    " OR period LIKE '____-10' OR period LIKE '____-11' OR period LIKE '____-12')"
)


def _checks(one: Table) -> list[sa.CheckConstraint]:
    """numeric accepts NaN, which then poisons every sum, and char(7) accepts any seven characters: both are refused."""
    checks = []
    for column in one.columns:
        if column.kind in (Kind.DECIMAL, Kind.RATE):
            checks.append(sa.CheckConstraint(f"{column.name} <> 'NaN'", name=f"{one.name}_{column.name}_is_a_number"))
        elif column.kind is Kind.PERIOD:
            condition = _MONTH.format(column.name)
            if one.name in _OF_MANY_ROWS:
                condition = _CHEAP_MONTH if column.name == "period" else f"{column.name} = period OR {condition}"
            checks.append(sa.CheckConstraint(condition, name=f"{one.name}_{column.name}_is_a_month"))
    return checks


def _metadata(schema: str, tables: tuple[Table, ...]) -> sa.MetaData:
    made = sa.MetaData(schema=schema)
    for one in tables:
        sql_table(one, made)
    return made


metadata = _metadata(SCHEMA, POSTGRES_TABLES)
rebilling_metadata = _metadata(REBILLING_SCHEMA, REBILLING_TABLES)
