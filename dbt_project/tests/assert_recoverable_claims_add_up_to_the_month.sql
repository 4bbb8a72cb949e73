{{ config(meta={'dagster': {'ref': {'name': 'fct_recoverable'}}}) }}
select
    months.operator_code,
    months.period,
    months.currency,
    months.recoverable_amount,
    months.left_to_recover_amount,
    claims.amount,
    claims.amount_left
from {{ ref('fct_operator_month') }} as months
full join (
    select operator_code, period, currency, sum(amount) as amount, sum(amount_left) as amount_left
    from {{ ref('fct_recoverable') }}
    group by operator_code, period, currency
) as claims
    on claims.operator_code = months.operator_code
    and claims.period = months.period
    and claims.currency = months.currency
where
    months.operator_code is null
    or months.recoverable_amount <> coalesce(claims.amount, 0)
    or months.left_to_recover_amount <> coalesce(claims.amount_left, 0)
