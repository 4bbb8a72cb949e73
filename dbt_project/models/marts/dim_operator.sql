with months as (
    select
        operator_code,
        min(period) as first_period,
        max(period) as last_period,
        max(period) filter (where state = 'EVALUATED') as last_evaluated_period
    from {{ ref('stg_reconciliation_summary') }}
    group by operator_code
)

select
    coalesce(terms.operator_code, months.operator_code) as operator_code,
    coalesce(terms.operator_name, months.operator_code) as operator_name,
    -- A year is what French law gives (CPCE art. L34-2), for an operator whose contract terms never came here.
    coalesce(terms.claim_months, 12) as claim_months,
    coalesce(terms.is_configured, false) as is_configured,
    months.first_period,
    months.last_period,
    months.last_evaluated_period
from {{ ref('stg_operator_terms') }} as terms
full join months on months.operator_code = terms.operator_code
