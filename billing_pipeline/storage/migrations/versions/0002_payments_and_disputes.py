"""What was paid and disputed becomes part of the schema; two comments say what their columns hold.

The comment on rows_rejected denied the superseded rows that were always counted.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT, MONTH, DATE, INSTANT = sa.Text(), sa.CHAR(7), sa.Date(), sa.DateTime(timezone=True)
DECIMAL, INTEGER = sa.Numeric(18, 6), sa.BigInteger()
COMMENTS = (
    ("phase", "collect or reconcile.", "collect, reconcile or claims."),
    ("rows_rejected", "Rows rejected, superseded ones not counted.", "Rows rejected, superseded ones included."),
)


def _column(name: str, kind: Any, comment: str) -> "sa.Column[Any]":
    return sa.Column(name, kind, nullable=False, comment=comment)


def _create(name: str, comment: str, key: list[str], *columns: "sa.Column[Any]") -> None:
    checks = [
        sa.CheckConstraint("period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'", name=f"{name}_period_is_a_month"),
        *(
            sa.CheckConstraint(f"{column.name} <> 'NaN'", name=f"{name}_{column.name}_is_a_number")
            for column in columns
            if column.type is DECIMAL
        ),
    ]
    op.create_table(
        name,
        _column("operator_code", TEXT, "The operator (OI) whose partition this row belongs to."),
        _column("period", MONTH, "The partition that brought or computed the row, YYYY-MM."),
        *columns,
        _column("source_sha256", TEXT, "The file as it was when this row was new or changed; kept under raw/."),
        _column("source_row", INTEGER, "Record in that file: 1 is the first after the header."),
        _column("run_id", TEXT, "The Dagster run that wrote the row."),
        _column("loaded_at", INSTANT, "When that run wrote it."),
        sa.PrimaryKeyConstraint("operator_code", "period", *key, name=f"{name}_pkey"),
        *checks,
        schema="billing",
        comment=comment,
    )


def upgrade() -> None:
    _create(
        "payments",
        "One row per invoice and day it was paid on, as the payments file says; its partition is the month of that day.",
        ["invoice_id", "paid_on"],
        _column("invoice_id", TEXT, "The operator's invoice number."),
        _column("paid_on", DATE, "The day it was paid, in part or in full: from it the time to claim is counted."),
    )
    _create(
        "disputes",
        "One row per verdict and dispute sent about it, as the disputes file says; its partition is the disputed month.",
        ["item_id", "reference"],
        _column("item_id", TEXT, "The verdict disputed, in reconciliation_items of the same month."),
        _column("reference", TEXT, "The dispute's reference with the operator; empty where the file gives none."),
        _column("sent_on", DATE, "The day it was sent."),
        _column("status", TEXT, "sent, accepted or refused."),
        _column("credited_amount", DECIMAL, "Credit received for it, in the item's currency; 0 while none."),
    )
    for name, old, new in COMMENTS:
        op.alter_column("partition_loads", name, schema="billing", comment=new, existing_comment=old)


def downgrade() -> None:
    for name, old, new in COMMENTS:
        op.alter_column("partition_loads", name, schema="billing", comment=old, existing_comment=new)
    for name in ("disputes", "payments"):
        op.drop_table(name, schema="billing")
