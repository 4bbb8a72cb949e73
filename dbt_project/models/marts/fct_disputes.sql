select
    disputes.operator_code,
    operators.operator_name,
    disputes.period,
    disputes.item_id,
    disputes.reference,
    disputes.sent_on,
    disputes.status,
    disputes.credited_amount,
    items.currency,
    row_number() over (
        partition by disputes.operator_code, disputes.period, disputes.item_id
        order by disputes.sent_on desc, disputes.reference desc
    ) = 1 as is_latest,
    items.item_id is not null as has_verdict,
    items.status as item_status,
    items.reason_code,
    items.recoverable_amount as amount,
    disputes.source_sha256,
    disputes.source_row,
    disputes.run_id,
    disputes.loaded_at
from {{ ref('stg_disputes') }} as disputes
left join {{ ref('fct_reconciliation_items') }} as items
    on items.operator_code = disputes.operator_code
    and items.period = disputes.period
    and items.item_id = disputes.item_id
left join {{ ref('dim_operator') }} as operators on operators.operator_code = disputes.operator_code
