select
    operator_code,
    period,
    item_id,
    reason_code,
    amount,
    note,
    run_id,
    loaded_at
from {{ source('billing', 'reconciliation_reasons') }}
