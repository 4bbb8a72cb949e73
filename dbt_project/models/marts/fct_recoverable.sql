with items as (
    select * from {{ ref('fct_reconciliation_items') }} where recoverable_amount > 0
),

item_lines as (
    select operator_code, period, item_id, unnest(invoice_line_ids) as line_reference from items
),

-- The earliest of an item's invoices decides: a claim sent by then is in time for all of them.
invoice_dates as (
    select distinct on (item_lines.operator_code, item_lines.period, item_lines.item_id)
        item_lines.operator_code,
        item_lines.period,
        item_lines.item_id,
        case when invoices.invoice_date is not null then 'invoice_date' else 'received_at' end as claim_basis,
        coalesce(invoices.invoice_date, (invoices.received_at at time zone 'Europe/Paris')::date) as claim_from
    from item_lines
    inner join {{ ref('stg_line_allocations') }} as shares
        on shares.operator_code = item_lines.operator_code
        and shares.service_month = item_lines.period
        and shares.invoice_id || ':' || shares.line_id = item_lines.line_reference
    inner join {{ ref('stg_invoices') }} as invoices
        on invoices.operator_code = shares.operator_code
        and invoices.period = shares.period
        and invoices.invoice_id = shares.invoice_id
    where coalesce(invoices.invoice_date, (invoices.received_at at time zone 'Europe/Paris')::date) is not null
    order by item_lines.operator_code, item_lines.period, item_lines.item_id, claim_from, claim_basis
),

dated as (
    select
        items.*,
        operators.operator_name,
        operators.claim_months,
        coalesce(invoice_dates.claim_basis, 'period_end') as claim_basis,
        coalesce(
            invoice_dates.claim_from,
            (to_date(items.period, 'YYYY-MM') + interval '1 month' - interval '1 day')::date
        ) as claim_from
    from items
    left join invoice_dates
        on invoice_dates.operator_code = items.operator_code
        and invoice_dates.period = items.period
        and invoice_dates.item_id = items.item_id
    inner join {{ ref('dim_operator') }} as operators on operators.operator_code = items.operator_code
),

due as (
    select
        dated.*,
        (dated.claim_from + make_interval(months => dated.claim_months))::date as claim_deadline
    from dated
)

select
    operator_code,
    operator_name,
    period,
    item_id,
    side,
    status,
    reason_code,
    case
        when reason_code in (
            'DUPLICATE_LINE', 'BILLED_AFTER_TERMINATION', 'BILLED_BEFORE_ACTIVATION', 'PRORATION', 'STALE_PRICE',
            'DISCOUNT_MISSING', 'PRICE_MISMATCH', 'UNEXPECTED_CHARGE'
        ) then 'operator'
        when reason_code = 'AMBIGUOUS_SERVICE' then 'inventory'
        else 'undetermined'
    end as side_at_fault,
    service_id,
    service_description,
    customer_id,
    invoice_id,
    invoice_line_ids,
    recoverable_amount as amount,
    currency,
    claim_basis,
    claim_from,
    claim_months,
    claim_deadline,
    -- Only a payment starts the year, and payments are not among the tables this reads.
    true as is_estimated,
    claim_deadline - {{ paris_today() }} as days_left,
    detail,
    run_id,
    loaded_at
from due
