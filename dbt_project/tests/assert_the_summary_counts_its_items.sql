-- Both ways: an evaluated month whose items are missing, and items of a month that is not evaluated.
{{ config(meta={'dagster': {'ref': {'name': 'fct_reconciliation_summary'}}}) }}
select
    coalesce(summary.operator_code, items.operator_code) as operator_code,
    coalesce(summary.period, items.period) as period
from (
    select * from {{ ref('fct_reconciliation_summary') }} where state = 'EVALUATED'
) as summary
full join (
    select
        operator_code,
        period,
        count(*) filter (where side = 'service') as services,
        count(*) filter (where side = 'service' and status = 'MATCHED') as matched,
        count(*) filter (where side = 'service' and status = 'UNMATCHED') as unmatched,
        count(*) filter (where side = 'service' and status = 'DISCREPANCY') as discrepancies,
        count(*) filter (where side = 'line') as lines,
        count(*) filter (where side = 'line' and status = 'UNMATCHED') as orphans
    from {{ ref('fct_reconciliation_items') }}
    group by operator_code, period
) as items on items.operator_code = summary.operator_code and items.period = summary.period
where
    summary.operator_code is null
    or summary.total_services is distinct from coalesce(items.services, 0)
    or summary.matched is distinct from coalesce(items.matched, 0)
    or summary.unmatched is distinct from coalesce(items.unmatched, 0)
    or summary.discrepancies is distinct from coalesce(items.discrepancies, 0)
    or summary.line_items is distinct from coalesce(items.lines, 0)
    or summary.orphan_lines is distinct from coalesce(items.orphans, 0)
