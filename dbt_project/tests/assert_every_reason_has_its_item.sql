{{ config(meta={'dagster': {'ref': {'name': 'fct_reconciliation_items'}}}) }}
select reasons.operator_code, reasons.period, reasons.item_id, reasons.reason_code
from {{ ref('stg_reconciliation_reasons') }} as reasons
left join {{ ref('fct_reconciliation_items') }} as items
    on items.operator_code = reasons.operator_code
    and items.period = reasons.period
    and items.item_id = reasons.item_id
where items.item_id is null
