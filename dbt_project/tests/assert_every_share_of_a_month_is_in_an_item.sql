-- A warning and no error: a late invoice makes an evaluated month stale until it is computed again (--refresh-stale).
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'fct_reconciliation_items'}}}) }}
select shares.operator_code, shares.service_month, shares.invoice_id, shares.line_id
from {{ ref('stg_line_allocations') }} as shares
inner join {{ ref('fct_reconciliation_summary') }} as summary
    on summary.operator_code = shares.operator_code
    and summary.period = shares.service_month
    and summary.state = 'EVALUATED'
left join (
    select operator_code, period, unnest(invoice_line_ids) as line_reference
    from {{ ref('fct_reconciliation_items') }}
) as lines
    on lines.operator_code = shares.operator_code
    and lines.period = shares.service_month
    and lines.line_reference = shares.invoice_id || ':' || shares.line_id
where lines.line_reference is null
