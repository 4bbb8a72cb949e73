select operator_code, period, currency, difference
from {{ ref('fct_operator_month') }}
where
    difference
    is distinct from recoverable_amount - under_billed_amount + tolerated_amount + not_comparable_amount
    or difference is distinct from billed_amount - expected_amount
