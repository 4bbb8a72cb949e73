-- A warning and no error: between loading a new inventory and reconciling with it, the month's verdicts lag behind.
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'fct_reconciliation_items'}}}) }}
select services.operator_code, services.period, services.service_id, count(items.item_id) as items
from {{ ref('stg_services') }} as services
inner join {{ ref('fct_reconciliation_summary') }} as summary
    on summary.operator_code = services.operator_code
    and summary.period = services.period
    and summary.state = 'EVALUATED'
left join {{ ref('fct_reconciliation_items') }} as items
    on items.operator_code = services.operator_code
    and items.period = services.period
    and items.service_id = services.service_id
    and items.side = 'service'
where services.active_days > 0
group by services.operator_code, services.period, services.service_id
having count(items.item_id) <> 1
