-- An item billed in another currency than its contract's stands in two currencies: billed in one, expected in the other.
with amounts as (
    select
        operator_code,
        period,
        currency,
        0 as expected,
        coalesce(invoice_amount, 0) as billed,
        recoverable_amount as recoverable,
        0 as credited,
        under_billed_amount as under_billed,
        case when status = 'MATCHED' then coalesce(difference, 0) else 0 end as tolerated,
        case when difference is null then coalesce(invoice_amount, 0) else 0 end as not_comparable
    from {{ ref('fct_reconciliation_items') }}
    union all
    select
        operator_code,
        period,
        service_currency,
        service_amount,
        0,
        0,
        0,
        0,
        0,
        case when difference is null then -service_amount else 0 end
    from {{ ref('fct_reconciliation_items') }}
    where service_amount is not null
    union all
    select operator_code, period, currency, 0, 0, 0, credited_amount, 0, 0, 0
    from {{ ref('fct_recoverable') }}
),

months as (
    select
        operator_code,
        period,
        currency,
        sum(expected) as expected,
        sum(billed) as billed,
        sum(recoverable) as recoverable,
        sum(credited) as credited,
        sum(under_billed) as under_billed,
        sum(tolerated) as tolerated,
        sum(not_comparable) as not_comparable
    from amounts
    group by operator_code, period, currency
),

-- By a window and not by joining the months to themselves, which would work all of them out twice.
preceded as (
    select
        months.*,
        lag(period) over of_currency = {{ previous_month('period') }} as follows_directly,
        lag(expected) over of_currency as preceding_expected,
        lag(billed) over of_currency as preceding_billed,
        lag(recoverable) over of_currency as preceding_recoverable
    from months
    window of_currency as (partition by operator_code, currency order by period)
),

-- A month before that was evaluated and had nothing in the currency counts as 0; one that was not tells nothing.
compared as (
    select
        preceded.*,
        case
            when before.state = 'EVALUATED' then case when follows_directly then preceding_expected else 0 end
        end as expected_before,
        case
            when before.state = 'EVALUATED' then case when follows_directly then preceding_billed else 0 end
        end as billed_before,
        case
            when before.state = 'EVALUATED' then case when follows_directly then preceding_recoverable else 0 end
        end as recoverable_before
    from preceded
    left join {{ ref('stg_reconciliation_summary') }} as before
        on before.operator_code = preceded.operator_code
        and before.period = {{ previous_month('preceded.period') }}
)

select
    compared.operator_code,
    operators.operator_name,
    compared.period,
    to_date(compared.period, 'YYYY-MM') as period_start,
    compared.currency,
    compared.expected::numeric(38, 6) as expected_amount,
    compared.billed::numeric(38, 6) as billed_amount,
    (compared.billed - compared.expected)::numeric(38, 6) as difference,
    compared.recoverable::numeric(38, 6) as recoverable_amount,
    compared.credited::numeric(38, 6) as credited_amount,
    (compared.recoverable - compared.credited)::numeric(38, 6) as left_to_recover_amount,
    compared.under_billed::numeric(38, 6) as under_billed_amount,
    compared.tolerated::numeric(38, 6) as tolerated_amount,
    compared.not_comparable::numeric(38, 6) as not_comparable_amount,
    (compared.expected - compared.expected_before)::numeric(38, 6) as expected_change,
    (compared.billed - compared.billed_before)::numeric(38, 6) as billed_change,
    (compared.recoverable - compared.recoverable_before)::numeric(38, 6) as recoverable_change
from compared
left join {{ ref('dim_operator') }} as operators on operators.operator_code = compared.operator_code
