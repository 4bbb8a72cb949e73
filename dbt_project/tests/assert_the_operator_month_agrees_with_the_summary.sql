-- The summary is in the currency of most contracts, which it does not name: one of the month's currencies has its sums.
{{ config(meta={'dagster': {'ref': {'name': 'fct_operator_month'}}}) }}
select summary.operator_code, summary.period, summary.service_amount, summary.invoice_amount
from {{ ref('fct_reconciliation_summary') }} as summary
where
    summary.state = 'EVALUATED'
    and summary.total_services + summary.line_items > 0
    and not exists (
        select 1
        from {{ ref('fct_operator_month') }} as months
        where
            months.operator_code = summary.operator_code
            and months.period = summary.period
            and months.expected_amount = summary.service_amount
            and months.billed_amount = summary.invoice_amount
            and months.difference = summary.difference
    )
