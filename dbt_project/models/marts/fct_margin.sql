with evaluated as (
    select operator_code, period from {{ ref('stg_reconciliation_summary') }} where state = 'EVALUATED'
),

-- One-off and usage charges stand in items of their own: shown beside the margin of the monthly price, not in it.
other_charges as (
    select operator_code, period, service_id, currency, sum(invoice_amount) as amount
    from {{ ref('fct_reconciliation_items') }}
    where service_id is not null and item_id <> 'service:' || service_id
    group by operator_code, period, service_id, currency
),

-- Lines in another currency than the contract's, beside others or beside none: what they cost cannot be added up.
foreign_lines as (
    select distinct operator_code, period, service_id
    from {{ ref('fct_reconciliation_items') }}
    where reason_code = 'CURRENCY_MISMATCH'
),

amounts as (
    select
        services.operator_code,
        services.period,
        services.service_id,
        services.description,
        services.customer_id,
        services.currency,
        services.active_days,
        services.resale_price_ht,
        services.expected_amount,
        services.run_id,
        services.loaded_at,
        items.item_id,
        items.status,
        items.reason_code,
        -- By days in cents, as the customer is invoiced; numeric division keeps 16 digits and more, so this is the only
        -- rounding, and it rounds half away from zero.
        round(
            coalesce(services.resale_price_ht, 0) * services.active_days
            / extract(day from to_date(services.period, 'YYYY-MM') + interval '1 month' - interval '1 day')::numeric,
            2
        ) as resale_amount,
        case
            when foreign_lines.service_id is not null then null
            when items.invoice_amount is null then 0
            when items.currency = services.currency then items.invoice_amount
        end as cost_amount,
        coalesce(other_charges.amount, 0) as other_charges_amount
    from {{ ref('stg_services') }} as services
    inner join evaluated
        on evaluated.operator_code = services.operator_code
        and evaluated.period = services.period
    left join {{ ref('fct_reconciliation_items') }} as items
        on items.operator_code = services.operator_code
        and items.period = services.period
        and items.item_id = 'service:' || services.service_id
    left join other_charges
        on other_charges.operator_code = services.operator_code
        and other_charges.period = services.period
        and other_charges.service_id = services.service_id
        and other_charges.currency = services.currency
    left join foreign_lines
        on foreign_lines.operator_code = services.operator_code
        and foreign_lines.period = services.period
        and foreign_lines.service_id = services.service_id
    where services.active_days > 0 or items.item_id is not null
)

select
    amounts.operator_code,
    operators.operator_name,
    amounts.period,
    to_date(amounts.period, 'YYYY-MM') as period_start,
    amounts.customer_id,
    amounts.service_id,
    amounts.description as service_description,
    amounts.currency,
    amounts.active_days,
    amounts.resale_price_ht,
    amounts.resale_amount::numeric(18, 6) as resale_amount,
    amounts.cost_amount::numeric(18, 6) as cost_amount,
    amounts.expected_amount as expected_cost_amount,
    (amounts.resale_amount - amounts.cost_amount)::numeric(18, 6) as margin_amount,
    (amounts.resale_amount - amounts.expected_amount)::numeric(18, 6) as expected_margin_amount,
    round(
        100 * (amounts.resale_amount - amounts.cost_amount) / nullif(amounts.resale_amount, 0), 2
    )::numeric(18, 2) as margin_percent,
    case
        when amounts.cost_amount is null then 'not_comparable'
        when amounts.resale_amount > 0 and amounts.cost_amount = 0 then 'sold_without_cost'
        when amounts.resale_amount = 0 and amounts.cost_amount > 0 then 'bought_without_sale'
        when amounts.resale_amount < amounts.cost_amount then 'negative'
        else 'normal'
    end as margin_state,
    amounts.other_charges_amount::numeric(18, 6) as other_charges_amount,
    amounts.item_id,
    amounts.status,
    amounts.reason_code,
    amounts.run_id,
    amounts.loaded_at
from amounts
left join {{ ref('dim_operator') }} as operators on operators.operator_code = amounts.operator_code
