select
    operator_code,
    period,
    invoice_id,
    line_id,
    charge_type,
    description,
    total_ht,
    currency,
    service_from,
    service_to,
    charge_month,
    source_sha256,
    source_row,
    run_id,
    loaded_at
from {{ source('billing', 'invoice_lines') }}
