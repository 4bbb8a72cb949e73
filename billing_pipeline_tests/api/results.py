"""Results of made-up operators, written by SQL into a migrated database: as many as a test or a measurement needs.

Amounts follow from the numbers of operator, invoice and line, so that what an answer must hold can be computed beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

_COMMON = "'run-1', '2024-04-06T04:00:00Z'::timestamptz"
_OPERATORS = "(SELECT 'OP' || lpad(n::text, 2, '0') AS code, n FROM generate_series(1, %(operators)s) AS n) AS o"
_MONTHS = (
    "(SELECT to_char(date '2022-01-01' + make_interval(months => m), 'YYYY-MM') AS period, m"
    " FROM generate_series(0, %(months)s - 1) AS m) AS p"
)
INVOICES = f"""
INSERT INTO billing.invoices (operator_code, period, invoice_id, operator_name, document_type, received_at, currency,
                              total_ht, total_ttc, line_count, source_type, source_sha256, run_id, loaded_at)
SELECT o.code, p.period, format('INV-%%s-%%s-%%s', o.code, p.period, lpad(i::text, 4, '0')), 'Opérateur ' || o.n, 'invoice',
       '2024-04-05T00:00:00Z', 'EUR', 100 * i + 0.5, 120 * i + 0.60, %(lines)s, 'netwo', 'abc', {_COMMON}
FROM {_OPERATORS}, {_MONTHS}, generate_series(1, %(invoices)s) AS i"""
LINES = f"""
INSERT INTO billing.invoice_lines (operator_code, period, invoice_id, line_id, service_id, charge_type, document_type,
                                   description, quantity, unit_price_ht, total_ht, currency, source_sha256, source_row,
                                   run_id, loaded_at)
SELECT operator_code, period, invoice_id, 'LN-' || lpad(l::text, 5, '0'), 'SVC-' || lpad(l::text, 5, '0'), 'recurring',
       'invoice', 'Accès FTTH activé 1Gbps - IMB/33063/C/025A', 1, 25 + l * 0.01, 25 + l * 0.01, 'EUR', 'abc', l, {_COMMON}
FROM billing.invoices, generate_series(1, %(lines)s) AS l"""
STATUSES = f"""
INSERT INTO billing.invoice_reconciliation (operator_code, period, invoice_id, reconciliation_status, run_id, loaded_at)
SELECT operator_code, period, invoice_id,
       (ARRAY['MATCHED', 'UNMATCHED', 'DISCREPANCY'])[1 + right(invoice_id, 4)::int %% 3], {_COMMON}
FROM billing.invoices"""
ITEMS = f"""
INSERT INTO billing.reconciliation_items (operator_code, period, item_id, side, service_id, invoice_id, invoice_line_id,
                                          invoice_line_ids, status, service_amount, invoice_amount, difference, currency,
                                          reason_code, match_key, detail, run_id, loaded_at)
SELECT o.code, p.period, 'service:SVC-' || lpad(s::text, 6, '0'), 'service', 'SVC-' || lpad(s::text, 6, '0'), NULL,
       CASE WHEN s %% 3 <> 2 THEN 'LN-' || lpad(s::text, 5, '0') END, '{{}}',
       (ARRAY['MATCHED', 'DISCREPANCY', 'UNMATCHED'])[1 + s %% 3], 25, CASE s %% 3 WHEN 0 THEN 25 WHEN 1 THEN 28.5 END,
       (ARRAY[0, 3.5, -25])[1 + s %% 3], 'EUR', NULL, NULL,
       (ARRAY[NULL, 'Écart de 3,50 € HT', 'Service actif sans ligne de facturation correspondante'])[1 + s %% 3], {_COMMON}
FROM {_OPERATORS}, {_MONTHS}, generate_series(1, %(services)s) AS s"""
SUMMARIES = f"""
INSERT INTO billing.reconciliation_summary (operator_code, period, state, total_services, matched, unmatched,
                                            discrepancies, run_id, loaded_at)
SELECT operator_code, period, 'EVALUATED', count(*), count(*) FILTER (WHERE status = 'MATCHED'),
       count(*) FILTER (WHERE status = 'UNMATCHED'), count(*) FILTER (WHERE status = 'DISCREPANCY'), {_COMMON}
FROM billing.reconciliation_items GROUP BY 1, 2"""


@dataclass(frozen=True)
class Size:
    """Operators × months, each with so many invoices of so many lines, and so many services."""

    operators: int = 2
    months: int = 3
    invoices: int = 7
    lines: int = 3
    services: int = 9


def store(url: str, size: Size = Size()) -> None:
    """Operators OP01…, periods from 2022-01, invoices INV-OP01-2022-01-0001…, every partition evaluated."""
    with psycopg.connect(url) as connection:
        for statement in (INVOICES, LINES, STATUSES, ITEMS, SUMMARIES):
            connection.execute(statement.encode(), vars(size))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def put(url: str, table: LiteralString, *rows: Mapping[str, Any]) -> None:
    """Rows of one table; what every table requires of a row and says nothing here is filled in."""
    required = {
        "invoices": {},
        "invoice_lines": {
            "charge_type": "recurring", "document_type": "invoice", "currency": "EUR", "source_sha256": "abc",
        },
        "reconciliation_items": {"side": "service", "currency": "EUR", "invoice_line_ids": []},
    }.get(table, {})  # fmt: skip
    with psycopg.connect(url) as connection:
        for row in rows:
            full = {"run_id": "run-1", "loaded_at": "2024-04-06T04:00:00Z", **required, **row}
            statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier("billing", table),
                sql.SQL(", ").join(map(sql.Identifier, full)),
                sql.SQL(", ").join(map(sql.Placeholder, full)),
            )
            connection.execute(statement, full)
