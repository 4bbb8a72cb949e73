select
    operator_code,
    operator_name,
    claim_months,
    is_configured
from {{ source('billing_marts', 'operator_terms') }}
