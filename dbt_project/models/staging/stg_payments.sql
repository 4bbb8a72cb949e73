select
    operator_code,
    period,
    invoice_id,
    paid_on,
    source_sha256,
    source_row,
    run_id,
    loaded_at
from {{ source('billing', 'payments') }}
