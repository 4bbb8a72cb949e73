-- Not materialized where a part is used twice: else the whole history would be worked out for a month of it.
with items as not materialized (
    select * from {{ ref('fct_reconciliation_items') }} where recoverable_amount > 0
),

item_lines as (
    select operator_code, period, item_id, currency, unnest(invoice_line_ids) as line_reference from items
),

-- An invoice paid in parts: the first part starts the time to claim, so that a claim in time for it is in time for all.
first_payments as (
    select operator_code, invoice_id, min(paid_on) as paid_on
    from {{ ref('stg_payments') }}
    group by operator_code, invoice_id
),

-- The latest dispute speaks for the item, by the day it was sent and then by its reference; credits add up.
disputed as not materialized (
    select
        operator_code,
        period,
        item_id,
        count(*)::bigint as dispute_count,
        min(sent_on) as first_sent_on,
        sum(credited_amount) as credited,
        (array_agg(status order by sent_on desc, reference desc))[1] as dispute_status,
        (array_agg(reference order by sent_on desc, reference desc))[1] as dispute_reference,
        max(sent_on) as disputed_on
    from {{ ref('stg_disputes') }}
    group by operator_code, period, item_id
),

shares as (
    select
        item_lines.operator_code,
        item_lines.period,
        item_lines.item_id,
        case
            when shares.currency = item_lines.currency then shares.amount_ht
            when shares.invoicing_currency = item_lines.currency then shares.invoicing_amount
            else 0
        end as amount,
        first_payments.paid_on,
        invoices.invoice_date,
        (invoices.received_at at time zone 'Europe/Paris')::date as received_on,
        -- A credit note that states no date at all is as old as the month whose invoices it came with.
        (to_date(shares.period, 'YYYY-MM') + interval '1 month' - interval '1 day')::date as invoice_month_end,
        disputed.first_sent_on
    from item_lines
    inner join {{ ref('stg_line_allocations') }} as shares
        on shares.operator_code = item_lines.operator_code
        and shares.service_month = item_lines.period
        and shares.invoice_id || ':' || shares.line_id = item_lines.line_reference
    inner join {{ ref('stg_invoices') }} as invoices
        on invoices.operator_code = shares.operator_code
        and invoices.period = shares.period
        and invoices.invoice_id = shares.invoice_id
    left join first_payments
        on first_payments.operator_code = shares.operator_code
        and first_payments.invoice_id = shares.invoice_id
    left join disputed
        on disputed.operator_code = item_lines.operator_code
        and disputed.period = item_lines.period
        and disputed.item_id = item_lines.item_id
),

basis as (
    select
        shares.*,
        coalesce(paid_on, invoice_date, received_on) as claim_from,
        case
            when paid_on is not null then 'payment'
            when invoice_date is not null then 'invoice_date'
            else 'received_at'
        end as claim_basis
    from shares
),

-- The earliest of the invoices that bill it decides: a claim sent by then is in time for all of them. What is paid is
-- counted from the payment, what is not from the invoice, which comes before any payment of it.
-- Credits that came on an invoice since the dispute was sent are in the item's billed amount already: of what the
-- disputes file says was credited, only the rest has still to be taken off.
billing as (
    select
        operator_code,
        period,
        item_id,
        min(claim_from) filter (where amount > 0) as claim_from,
        (array_agg(claim_basis order by claim_from, claim_basis) filter (where amount > 0 and claim_from is not null))[1]
            as claim_basis,
        -sum(amount) filter (
            where amount < 0 and coalesce(invoice_date, received_on, invoice_month_end) >= first_sent_on
        ) as credited
    from basis
    group by operator_code, period, item_id
),

dated as (
    select
        items.*,
        operators.operator_name,
        operators.claim_months,
        coalesce(billing.claim_basis, 'period_end') as claim_basis,
        coalesce(
            billing.claim_from,
            (to_date(items.period, 'YYYY-MM') + interval '1 month' - interval '1 day')::date
        ) as claim_from,
        least(
            items.recoverable_amount, greatest(coalesce(disputed.credited, 0) - coalesce(billing.credited, 0), 0)
        )::numeric(18, 6) as credited_amount,
        coalesce(disputed.dispute_count, 0) as dispute_count,
        disputed.dispute_status,
        disputed.dispute_reference,
        disputed.disputed_on
    from items
    inner join {{ ref('dim_operator') }} as operators on operators.operator_code = items.operator_code
    left join billing
        on billing.operator_code = items.operator_code
        and billing.period = items.period
        and billing.item_id = items.item_id
    left join disputed
        on disputed.operator_code = items.operator_code
        and disputed.period = items.period
        and disputed.item_id = items.item_id
),

due as (
    select
        dated.*,
        dated.recoverable_amount - dated.credited_amount as amount_left,
        case
            when dated.credited_amount >= dated.recoverable_amount then 'settled'
            when dated.dispute_status = 'sent' then 'claimed'
            when dated.dispute_status = 'accepted' then 'credit_awaited'
            when dated.dispute_status = 'refused' then 'refused'
            else 'to_claim'
        end as claim_state,
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
    credited_amount,
    amount_left::numeric(18, 6) as amount_left,
    claim_state,
    case when claim_state = 'to_claim' then amount_left else 0 end::numeric(18, 6) as amount_to_claim,
    currency,
    dispute_status,
    dispute_reference,
    disputed_on,
    dispute_count,
    claim_basis,
    claim_from,
    claim_months,
    claim_deadline,
    claim_basis <> 'payment' as is_estimated,
    claim_deadline - {{ paris_today() }} as days_left,
    detail,
    run_id,
    loaded_at
from due
