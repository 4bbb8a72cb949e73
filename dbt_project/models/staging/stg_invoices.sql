select
    operator_code,
    period,
    invoice_id,
    operator_name,
    document_type,
    invoice_date,
    received_at,
    currency,
    total_ht,
    total_ttc,
    line_count,
    source_status,
    source_type,
    source_sha256,
    run_id,
    loaded_at
from {{ source('billing', 'invoices') }}
