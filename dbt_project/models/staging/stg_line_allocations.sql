select
    operator_code,
    period,
    invoice_id,
    line_id,
    service_month,
    days,
    amount_ht,
    currency,
    invoicing_amount,
    invoicing_currency,
    run_id,
    loaded_at
from {{ source('billing', 'line_allocations') }}
