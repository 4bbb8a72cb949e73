{{ config(meta={'dagster': {'ref': {'name': 'fct_reconciliation_items'}}}) }}
select items.operator_code, items.period, items.item_id, items.difference, reasons.amount
from {{ ref('fct_reconciliation_items') }} as items
left join (
    select operator_code, period, item_id, sum(amount) as amount
    from {{ ref('stg_reconciliation_reasons') }}
    group by operator_code, period, item_id
) as reasons
    on reasons.operator_code = items.operator_code
    and reasons.period = items.period
    and reasons.item_id = items.item_id
where items.difference is not null and coalesce(reasons.amount, 0) <> items.difference
