"""What the dispute workbooks show, asked of the tables and marts, in a billing person's words. Layout is dispute.py's.

Every query takes `operator` and `period`; amounts are excluding tax, in the row's currency.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from billing_pipeline.reports.words import (
    BASES,
    CHECKS,
    CLAIMS,
    DISPUTES,
    FAULTS,
    FINDINGS,
    MARGINS,
    REASONS,
    STATUSES,
    word,
    yes_no,
)
from billing_pipeline.storage.snapshot import Snapshot

Row = dict[str, Any]
# Which words stand for the codes of which column.
_WORDS: Mapping[str, Mapping[str, str]] = {
    "reason_code": REASONS, "status": STATUSES, "dispute_status": DISPUTES, "claim_state": CLAIMS,
    "side_at_fault": FAULTS, "claim_basis": BASES, "margin_state": MARGINS, "finding_code": FINDINGS,
    "check_name": CHECKS,
}  # fmt: skip

SUMMARY = """
SELECT operator_name, state, state_detail, total_services, matched, unmatched, discrepancies, line_items, orphan_lines,
       orphan_amount, service_amount, invoice_amount, difference, files, rows_read, rows_rejected, loaded_at
FROM billing_marts.fct_reconciliation_summary WHERE operator_code = %(operator)s AND period = %(period)s"""
CURRENCIES = """
SELECT currency, expected_amount, billed_amount, difference, recoverable_amount, credited_amount,
       left_to_recover_amount, under_billed_amount, tolerated_amount, not_comparable_amount
FROM billing_marts.fct_operator_month WHERE operator_code = %(operator)s AND period = %(period)s ORDER BY currency"""
CLAIM_TOTALS = """
SELECT currency, claim_state, count(*) AS items, sum(amount_left) AS amount_left
FROM billing_marts.fct_recoverable
WHERE operator_code = %(operator)s AND period = %(period)s AND amount_left > 0 AND side_at_fault <> 'inventory'
GROUP BY currency, claim_state ORDER BY currency, claim_state"""
# Materialized: the planner would else work the marts out once per row it joins.
ITEMS = """
WITH claims AS MATERIALIZED (
    SELECT item_id, amount, credited_amount, amount_left, claim_state, side_at_fault, dispute_status, dispute_reference,
           disputed_on, claim_deadline, is_estimated, claim_basis
    FROM billing_marts.fct_recoverable WHERE operator_code = %(operator)s AND period = %(period)s
),
proof AS MATERIALIZED (
    SELECT item_id, invoice_id, line_id, file_name, source_row, invoice_date, description
    FROM billing_marts.fct_item_lines
    WHERE operator_code = %(operator)s AND period = %(period)s AND status <> 'MATCHED'
),
reasons AS MATERIALIZED (
    SELECT item_id, array_agg(reason_code ORDER BY abs(amount) DESC, reason_code) AS reason_codes
    FROM billing.reconciliation_reasons WHERE operator_code = %(operator)s AND period = %(period)s GROUP BY item_id
)
SELECT i.item_id, i.side, i.service_id, i.service_description, i.reason_code, r.reason_codes, i.detail,
       i.service_amount, i.service_currency, i.invoice_amount, i.difference, i.currency, i.under_billed_amount,
       c.amount, c.credited_amount, c.amount_left, c.claim_state, c.side_at_fault, c.dispute_status,
       c.dispute_reference, c.disputed_on, c.claim_deadline, c.is_estimated, c.claim_basis,
       i.invoice_id, i.invoice_line_id, i.line_count, p.file_name, p.source_row, p.invoice_date, p.description
FROM billing_marts.fct_reconciliation_items AS i
LEFT JOIN claims AS c ON c.item_id = i.item_id
LEFT JOIN proof AS p ON p.item_id = i.item_id AND p.invoice_id = i.invoice_id AND p.line_id = i.invoice_line_id
LEFT JOIN reasons AS r ON r.item_id = i.item_id
WHERE i.operator_code = %(operator)s AND i.period = %(period)s AND i.status = %(status)s
  AND (%(side)s::text IS NULL OR i.side = %(side)s)
  AND (NOT %(claims_only)s OR (c.amount_left > 0 AND c.side_at_fault <> 'inventory'))
ORDER BY coalesce(c.amount_left, 0) DESC, abs(i.difference) DESC NULLS LAST, i.item_id"""
LINES = """
SELECT l.item_id, l.invoice_id, l.invoice_date, l.line_id, l.description, l.service_from, l.service_to, l.charge_month,
       l.amount_ht, l.total_ht, l.currency, l.file_name, l.source_row, l.source_sha256
FROM billing_marts.fct_item_lines AS l
WHERE l.operator_code = %(operator)s AND l.period = %(period)s AND l.status <> 'MATCHED'
  AND (NOT %(claims_only)s OR l.item_id IN (
      SELECT item_id FROM billing_marts.fct_recoverable
      WHERE operator_code = %(operator)s AND period = %(period)s AND amount_left > 0 AND side_at_fault <> 'inventory'))
ORDER BY l.item_id, l.invoice_id, l.line_id"""
FOUND = """
SELECT f.invoice_id, i.invoice_date, f.line_id, f.code AS finding_code, f.subject, f.expected, f.actual, f.difference,
       i.currency, f.note
FROM billing.invoice_findings AS f
LEFT JOIN billing.invoices AS i
  ON i.operator_code = f.operator_code AND i.period = f.period AND i.invoice_id = f.invoice_id
WHERE f.operator_code = %(operator)s AND f.period = %(period)s
ORDER BY f.invoice_id, f.line_id, f.code, f.subject"""
REJECTED = """
SELECT regexp_replace(d.location, '^.*/', '') AS file_name, r.check_name, r.column_name,
       count(DISTINCT r.source_row) AS row_count, min(r.source_row) AS first_row
FROM billing.rejected_rows AS r
LEFT JOIN billing.source_documents AS d
  ON d.operator_code = r.operator_code AND d.period = r.period AND d.sha256 = r.source_sha256
WHERE r.operator_code = %(operator)s AND r.period = %(period)s
GROUP BY d.location, r.source_sha256, r.check_name, r.column_name
ORDER BY d.location, r.source_sha256, r.check_name, r.column_name"""
MARGIN_ROWS = """
SELECT margin_state, customer_id, service_id, service_description, active_days, resale_price_ht, resale_amount,
       cost_amount, expected_cost_amount, margin_amount, expected_margin_amount, currency, reason_code
FROM billing_marts.fct_margin
WHERE operator_code = %(operator)s AND period = %(period)s AND margin_state <> 'normal'
ORDER BY margin_state, margin_amount NULLS LAST, service_id"""
MARGIN_TOTALS = """
SELECT currency, margin_state, count(*) AS services, sum(resale_amount) AS resale_amount,
       sum(cost_amount) AS cost_amount, sum(margin_amount) AS margin_amount
FROM billing_marts.fct_margin WHERE operator_code = %(operator)s AND period = %(period)s
GROUP BY currency, margin_state ORDER BY currency, margin_state"""


class DisputeRows:
    """The rows of one operator's month, all of one snapshot."""

    def __init__(self, snapshot: Snapshot, operator: str, period: str) -> None:
        self._snapshot = snapshot
        self._partition = {"operator": operator, "period": period}

    def summary(self) -> Row | None:
        """The month's summary, its codes as they are; null where it was never run."""
        return self._snapshot.row(SUMMARY, **self._partition)

    def currencies(self) -> list[Row]:
        return list(self._worded(CURRENCIES))

    def claim_totals(self) -> list[Row]:
        """What is left to recover by currency and state, without what our own inventory is at fault for."""
        return list(self._worded(CLAIM_TOTALS))

    def items(self, status: str, side: str | None = None, *, claims_only: bool = False) -> Iterator[Row]:
        """Verdicts with their claim, dispute and the line that shows them; `claims_only`: with something to recover."""
        found = self._snapshot.rows(ITEMS, **self._partition, status=status, side=side, claims_only=claims_only)
        for row in found:
            row["reasons"] = " ; ".join(word(REASONS, code) or "" for code in row.pop("reason_codes") or ())
            yield _in_words(row)

    def claims(self) -> Iterator[Row]:
        """What is to be recovered, discrepancies before lines without a service."""
        yield from self.items("DISCREPANCY", claims_only=True)
        yield from self.items("UNMATCHED", claims_only=True)

    def lines(self, *, claims_only: bool = False) -> Iterator[Row]:
        """Every line that a verdict rests on, with its place in a file."""
        return map(_in_words, self._snapshot.rows(LINES, **self._partition, claims_only=claims_only))

    def findings(self) -> Iterator[Row]:
        return self._worded(FOUND)

    def rejected(self) -> Iterator[Row]:
        """Counts of rejected rows by file, rule and column."""
        return self._worded(REJECTED)

    def margins(self) -> Iterator[Row]:
        """Services whose margin is not plainly positive."""
        return self._worded(MARGIN_ROWS)

    def margin_totals(self) -> list[Row]:
        return list(self._worded(MARGIN_TOTALS))

    def _worded(self, statement: Any) -> Iterator[Row]:
        return map(_in_words, self._snapshot.rows(statement, **self._partition))


def _in_words(row: Row) -> Row:
    return {name: _shown(name, value) for name, value in row.items()}


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return yes_no(value)
    return word(_WORDS[name], value) if name in _WORDS else value
