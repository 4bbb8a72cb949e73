"""Typed R189 charge rows as rows of `invoice_lines` and `invoices`. Reading the file is r189/'s business."""

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from billing_pipeline.schemas.arrow import content_schema
from billing_pipeline.schemas.tables import INVOICE_LINES, INVOICES

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


# What an invoice's rows are summed up to: (column of LINES, function); sums of sums, counts of counts when merged.
_PARTS = (
    ("invoice_date", "min"), ("credit", "sum"), ("currency", "min"), ("currency", "max"), ("total_ht", "sum"),
    ("total_ttc", "sum"), ("total_ttc", "count"), ("invoice_id", "count"), ("source_sha256", "min"),
)  # fmt: skip
_MERGED = {"min": "min", "max": "max", "sum": "sum", "count": "sum"}
# Partial sums are merged once there are this many: some 20 MB.
_MOST_PARTIAL = 100_000
# What decimal(18, 6) holds.
_TOO_LARGE = Decimal(10) ** 12


class InvoiceTotals:
    """The invoices that charge rows add up to, gathered batch by batch; memory grows with invoices, not with rows.

    An R189 report declares no totals, so they are the sums of its rows. An invoice whose rows are in several
    currencies has neither currency nor totals of its own: amounts of two currencies have no sum.
    """

    def __init__(self) -> None:
        self._partial: list[pa.Table] = []
        self._held = 0

    def add(self, charges: pa.RecordBatch, lines: pa.RecordBatch) -> None:
        """`lines` are `lines_of(charges)`."""
        columns = {name: lines.column(name) for name in ("invoice_id", "currency", "total_ht", "total_ttc")}
        columns["credit"] = pc.equal(lines.column("document_type"), "credit_note").cast(pa.int64())
        columns["invoice_date"] = charges.column("invoice_date")
        columns["source_sha256"] = charges.column("source_sha256")
        summed = pa.table(columns).group_by("invoice_id", use_threads=False).aggregate(list(_PARTS))
        self._partial.append(summed)
        self._held += len(summed)
        if self._held > _MOST_PARTIAL:
            self._merge()

    def invoices(self, *, operator_name: str, source_type: str) -> pa.Table:
        """In the content columns of `invoices`, by invoice number; a total that no column can hold is null."""
        schema = content_schema(INVOICES)
        if not self._partial:
            return schema.empty_table()
        self._merge()
        found = self._partial[0].sort_by("invoice_id")
        lines = found["invoice_id_count"]
        one_currency = pc.equal(found["currency_min"], found["currency_max"])
        every_total = pc.and_(one_currency, pc.equal(found["total_ttc_count"], lines))
        made = {
            "invoice_id": found["invoice_id"],
            "operator_name": pa.repeat(operator_name, len(found)),
            "document_type": pc.if_else(pc.equal(found["credit_sum"], lines), "credit_note", "invoice"),
            "invoice_date": found["invoice_date_min"],
            "currency": pc.if_else(one_currency, found["currency_min"], pa.scalar(None, pa.string())),
            "total_ht": _total(found["total_ht_sum"], one_currency),
            "total_ttc": _total(found["total_ttc_sum"], every_total),
            "line_count": lines,
            "source_type": pa.repeat(source_type, len(found)),
            "source_sha256": found["source_sha256_min"],
        }
        return pa.table(
            [made[one.name].cast(one.type) if one.name in made else pa.nulls(len(found), one.type) for one in schema],
            schema=schema,
        )

    def _merge(self) -> None:
        if len(self._partial) > 1:
            together = pa.concat_tables(self._partial).group_by("invoice_id", use_threads=False)
            merged = together.aggregate([(f"{name}_{kind}", _MERGED[kind]) for name, kind in _PARTS])
            names = {f"{name}_{kind}_{_MERGED[kind]}": f"{name}_{kind}" for name, kind in _PARTS}
            self._partial = [merged.rename_columns([names.get(name, name) for name in merged.column_names])]
        self._held = 0


def _total(sums: pa.ChunkedArray, counts: pa.ChunkedArray) -> pa.ChunkedArray:
    fits = pc.less(pc.abs(sums), pa.scalar(_TOO_LARGE, pa.decimal128(19, 6)))
    return pc.if_else(pc.and_(counts, fits), sums, pa.scalar(None, sums.type))
