-- A warning and no error: between loading a new inventory and reconciling with it, the month's verdicts lag behind.
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'fct_margin'}}}) }}
select items.operator_code, items.period, items.amount, margins.amount as in_margins
from (
    select operator_code, period, sum(invoice_amount) as amount
    from {{ ref('fct_reconciliation_items') }}
    where item_id = 'service:' || service_id and reason_code is distinct from 'CURRENCY_MISMATCH'
    group by operator_code, period
) as items
full join (
    select operator_code, period, sum(cost_amount) as amount
    from {{ ref('fct_margin') }}
    group by operator_code, period
) as margins
    on margins.operator_code = items.operator_code
    and margins.period = items.period
where coalesce(items.amount, 0) <> coalesce(margins.amount, 0)
