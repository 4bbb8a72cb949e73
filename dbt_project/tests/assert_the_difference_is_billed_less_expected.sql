-- A missing side counts 0; only across currencies is there no difference.
select operator_code, period, item_id, service_amount, invoice_amount, difference
from {{ ref('fct_reconciliation_items') }}
where
    case
        when reason_code is not distinct from 'CURRENCY_MISMATCH' then difference is not null
        else difference is distinct from coalesce(invoice_amount, 0) - coalesce(service_amount, 0)
    end
