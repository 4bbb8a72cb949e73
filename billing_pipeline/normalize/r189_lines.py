"""Typed R189 charge rows as rows of `invoice_lines` and `invoices`. Reading the file is r189/'s business."""

import ibis
import pyarrow as pa
import pyarrow.compute as pc
from ibis import _
from ibis.expr.types import Table

from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.tables import INVOICE_LINES

LINES = content_schema(INVOICE_LINES)
# invoice_lines column -> r189_charges column; what has the same name on both sides is not listed.
_RENAMED = {
    "description": "charge_description",
    "total_ht": "taxable_amount",
    "currency": "charge_currency",
    "total_ttc": "total_including_tax",
    "service_from": "period_from",
    "service_to": "period_to",
    "discount_percent": "discount_percentage",
    "document_type": "mapped_document_type",
}
# An R189 row names its line by file and row, and states no service, quantity or unit price.
_MADE_HERE = frozenset({"invoice_id", "line_id", "service_id", "quantity", "unit_price_ht"})


def lines_of(charges: pa.RecordBatch) -> pa.RecordBatch:
    """`charges`: batches of r189.reader (50 typed columns, source_sha256, source_row, the mapped type and charge type).

    `line_id` is the file's first 8 hash digits and the row number with at least six digits: `3fa9c1d2-000123`.
    """
    rows = charges.num_rows
    arrays = []
    for column in LINES:
        if column.name == "invoice_id":
            array = pc.utf8_trim_whitespace(charges.column("invoice_number"))
        elif column.name == "line_id":
            array = _line_ids(charges)
        elif column.name in _MADE_HERE:
            array = pa.nulls(rows, column.type)
        else:
            array = charges.column(_RENAMED.get(column.name, column.name))
        arrays.append(array.cast(column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=LINES)


def _line_ids(charges: pa.RecordBatch) -> pa.Array:
    digits = pc.utf8_lpad(charges.column("source_row").cast(pa.string()), 6, "0")
    prefix = pc.utf8_slice_codeunits(charges.column("source_sha256"), 0, 8)
    return pc.binary_join_element_wise(prefix, digits, "-")


def invoices_of(charges: Table, *, operator_name: str, source_type: str) -> Table:
    """The invoices that charge rows add up to, as an Ibis table in the content columns of `invoices`.

    An R189 report declares no totals, so they are the sums of its rows. An invoice whose rows are in several
    currencies has neither currency nor totals of its own: amounts of two currencies have no sum.
    """
    grouped = charges.group_by(invoice_id=_.invoice_number.strip()).aggregate(
        invoice_date=_.invoice_date.min(),
        credits=(_.mapped_document_type == "credit_note").sum(),
        currencies=_.charge_currency.nunique(),
        currency=_.charge_currency.min(),
        total_ht=_.taxable_amount.sum().cast("decimal(18,6)"),
        stated_totals=_.total_including_tax.count(),
        total_ttc=_.total_including_tax.sum().cast("decimal(18,6)"),
        line_count=_.count(),
        source_sha256=_.source_sha256.min(),
    )
    one_currency = grouped.currencies == 1
    every_total = one_currency & (grouped.stated_totals == grouped.line_count)
    return grouped.select(
        "invoice_id",
        operator_name=ibis.literal(operator_name, "string"),
        document_type=ibis.ifelse(_.credits == _.line_count, "credit_note", "invoice"),
        invoice_date=_.invoice_date,
        received_at=ibis.null("timestamp('UTC', 6)"),
        currency=ibis.ifelse(one_currency, _.currency, ibis.null("string")),
        total_ht=ibis.ifelse(one_currency, _.total_ht, ibis.null("decimal(18,6)")),
        total_ttc=ibis.ifelse(every_total, _.total_ttc, ibis.null("decimal(18,6)")),
        line_count=_.line_count,
        source_status=ibis.null("string"),
        source_type=ibis.literal(source_type, "string"),
        source_sha256=_.source_sha256,
    )
