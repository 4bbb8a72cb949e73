-- A warning and no error: a month whose invoices were loaded again is judged on the new lines only once it is computed.
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'fct_item_lines'}}}) }}
select named.operator_code, named.period, named.item_id, named.line_reference
from (
    select operator_code, period, item_id, unnest(invoice_line_ids) as line_reference
    from {{ ref('fct_reconciliation_items') }}
) as named
left join {{ ref('fct_item_lines') }} as lines
    on lines.operator_code = named.operator_code
    and lines.period = named.period
    and lines.item_id = named.item_id
    and lines.invoice_id || ':' || lines.line_id = named.line_reference
where lines.line_id is null or lines.file_name is null
