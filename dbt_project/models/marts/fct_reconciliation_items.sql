select
    items.operator_code,
    items.period,
    items.item_id,
    items.side,
    items.status,
    items.reason_code,
    items.service_id,
    services.description as service_description,
    services.customer_id,
    items.invoice_id,
    items.invoice_line_id,
    items.invoice_line_ids,
    cardinality(items.invoice_line_ids)::bigint as line_count,
    items.service_amount,
    case when items.service_amount is not null then coalesce(services.currency, items.currency) end as service_currency,
    items.invoice_amount,
    items.currency,
    items.difference,
    case
        when items.status <> 'MATCHED' and items.difference > 0 then items.difference
        else 0
    end::numeric(18, 6) as recoverable_amount,
    case
        when items.status <> 'MATCHED' and items.difference < 0 then -items.difference
        else 0
    end::numeric(18, 6) as under_billed_amount,
    items.match_key,
    items.detail,
    items.run_id,
    items.loaded_at
from {{ ref('stg_reconciliation_items') }} as items
left join {{ ref('stg_services') }} as services
    on services.operator_code = items.operator_code
    and services.period = items.period
    and services.service_id = items.service_id
