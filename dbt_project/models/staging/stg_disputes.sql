select
    operator_code,
    period,
    item_id,
    reference,
    sent_on,
    status,
    credited_amount,
    source_sha256,
    source_row,
    run_id,
    loaded_at
from {{ source('billing', 'disputes') }}
