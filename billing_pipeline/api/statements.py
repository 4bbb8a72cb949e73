"""The SQL behind the answers: JSON made by PostgreSQL out of the declared shapes, so that a numeric stays what it is.

Measured in processor time: shaping a page of 50 invoices out of Python's Decimals takes 0.95 ms of our only core, the whole
statement that answers with their text 0.4 ms of the server's.
Only names from this program's own declarations become part of a statement; what a caller sends is always a parameter.
"""

from collections.abc import Sequence

from billing_pipeline.reports.hub_shapes import (
    INVOICE_ID,
    LINE,
    LISTED,
    OPERATOR,
    OPERATOR_ITEM,
    PERIOD,
    SUMMARY,
    TOTALS,
    Form,
    Member,
)

# Lines of an invoice that are answered in one statement; of a larger one they are streamed.
LINES_AT_ONCE = 2000
_FORMS = {
    Form.TEXT: "{0}",
    Form.COUNT: "{0}",
    Form.AMOUNT: "round({0}, greatest(2, min_scale({0})))",
    Form.QUANTITY: "CASE WHEN min_scale({0}) = 0 THEN trunc({0}) ELSE round({0}, greatest(2, min_scale({0}))) END",
    Form.INSTANT: (
        "to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS')"
        " || rtrim(to_char({0} AT TIME ZONE 'UTC', '.US'), '.0') || 'Z'"
    ),
}


def _pairs(members: Sequence[Member], row: str) -> str:
    return ", ".join(f"'{one.name}', {_FORMS[one.form].format(f'{row}.{one.column}')}" for one in members)


def _object(members: Sequence[Member], row: str) -> str:
    """The JSON object of a row of the relation named `row`, as text."""
    always = [member for member in members if not member.absent_when_null]
    optional = [member for member in members if member.absent_when_null]
    made = f"json_build_object({_pairs(always, row)})::text"
    for member in optional:
        added = f"json_build_object({_pairs([*always, member], row)})::text"
        made = f"CASE WHEN {row}.{member.column} IS NULL THEN {made} ELSE {added} END"
    return made


_HEAD = f"{_pairs([INVOICE_ID], 'i')}, 'operator', json_build_object({_pairs(OPERATOR, 'i')}), {_pairs([PERIOD], 'i')}"
# The status of exactly the invoices shown: OFFSET 0 keeps the view's GROUP BY from being computed for all there are.
_STATUS = """CROSS JOIN LATERAL (
    SELECT v.reconciliation_status FROM billing.invoices_with_status AS v
    WHERE (v.operator_code, v.period, v.invoice_id) = (i.operator_code, i.period, i.invoice_id) OFFSET 0
) AS s"""
_LISTED = ", ".join(
    f"'{one.name}', {_FORMS[one.form].format(('s.' if one.column == 'reconciliation_status' else 'i.') + one.column)}"
    for one in LISTED
)


def _where(*columns: str) -> str:
    return " AND ".join(f"{column} = %({column})s" for column in columns) or "true"


def invoice_page(columns: Sequence[str]) -> str:
    """(how many there are, the page's invoices as JSON texts joined by commas) of those with the given `columns`.

    Parameters: the columns, `limit`, `offset`.
    """
    where = _where(*columns)
    return f"""
SELECT (SELECT count(*) FROM billing.invoices WHERE {where}),
       (SELECT string_agg(json_build_object({_HEAD}, {_LISTED})::text, ', ' ORDER BY i.period, i.operator_code, i.invoice_id)
        FROM (SELECT * FROM billing.invoices WHERE {where}
              ORDER BY period, operator_code, invoice_id LIMIT %(limit)s OFFSET %(offset)s) AS i
        {_STATUS})"""


def invoice_detail(columns: Sequence[str]) -> str:
    """(operator_code, period, head, tail, number of lines, lines) of each invoice of that number, by period and operator.

    Head and tail are the texts of JSON objects, what stands before and behind the lines; lines are JSON texts joined by
    commas, at most LINES_AT_ONCE + 1 of them. Parameters: `invoice_id` and the other columns.
    """
    where = _where("invoice_id", *columns)
    return f"""
SELECT i.operator_code, i.period, json_build_object({_HEAD})::text, {_object(TOTALS, "i")}, l.count, l.lines
FROM (SELECT * FROM billing.invoices WHERE {where}) AS i
CROSS JOIN LATERAL (
    SELECT count(*), string_agg({_object(LINE, "l")}, ', ' ORDER BY l.source_row, l.line_id) AS lines
    FROM (SELECT * FROM billing.invoice_lines AS l
          WHERE (l.operator_code, l.period, l.invoice_id) = (i.operator_code, i.period, i.invoice_id)
          ORDER BY l.source_row, l.line_id LIMIT {LINES_AT_ONCE + 1}) AS l
) AS l
ORDER BY i.period, i.operator_code"""


INVOICE_LINES = f"""
SELECT {_object(LINE, "l")} FROM billing.invoice_lines AS l
WHERE (l.operator_code, l.period, l.invoice_id) = (%(operator_code)s, %(period)s, %(invoice_id)s)
ORDER BY l.source_row, l.line_id"""

_SUMMARY_COLUMNS = ", ".join(["operator_code", "state", "state_detail", *(member.column for member in SUMMARY)])


def summaries(columns: Sequence[str]) -> str:
    """One JSON array of the summary rows with the given `columns`, by operator."""
    return f"""
SELECT coalesce(json_agg(row_to_json(s) ORDER BY s.operator_code), '[]')
FROM (SELECT {_SUMMARY_COLUMNS} FROM billing.reconciliation_summary WHERE {_where(*columns)}) AS s"""


def items(columns: Sequence[str]) -> str:
    """The items as JSON texts, one per row, by operator and item. Parameters: the columns."""
    return f"""
SELECT {_object(OPERATOR_ITEM, "i")} FROM billing.reconciliation_items AS i
WHERE {_where(*columns)} ORDER BY i.operator_code, i.item_id"""


def item_page(summary_columns: Sequence[str], item_columns: Sequence[str]) -> str:
    """(summary rows as JSON, how many items there are, the page's items as JSON texts joined by commas)."""
    where = _where(*item_columns)
    return f"""
SELECT ({summaries(summary_columns)}),
       (SELECT count(*) FROM billing.reconciliation_items WHERE {where}),
       (SELECT string_agg({_object(OPERATOR_ITEM, "i")}, ', ' ORDER BY i.operator_code, i.item_id)
        FROM (SELECT * FROM billing.reconciliation_items WHERE {where}
              ORDER BY operator_code, item_id LIMIT %(limit)s OFFSET %(offset)s) AS i)"""


IS_KNOWN = """
SELECT EXISTS (SELECT FROM billing.reconciliation_summary WHERE operator_code = %(operator_code)s)
    OR EXISTS (SELECT FROM billing.invoices WHERE operator_code = %(operator_code)s)"""
