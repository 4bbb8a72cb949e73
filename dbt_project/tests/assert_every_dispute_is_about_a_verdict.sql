-- A warning and no error: a verdict may go when the month is computed anew, and a dispute of it stays on record.
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'fct_disputes'}}}) }}
select disputes.operator_code, disputes.period, disputes.item_id, disputes.reference
from {{ ref('fct_disputes') }} as disputes
inner join {{ ref('fct_reconciliation_summary') }} as summary
    on summary.operator_code = disputes.operator_code
    and summary.period = disputes.period
    and summary.state = 'EVALUATED'
where not disputes.has_verdict
