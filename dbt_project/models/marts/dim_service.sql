with listed as (
    select
        services.*,
        row_number() over newest_first as recency,
        min(services.period) over per_service as first_period,
        max(services.period) over per_service as last_period,
        max(services.period) over (partition by services.operator_code) as operators_last_period
    from {{ ref('stg_services') }} as services
    window
        per_service as (partition by services.operator_code, services.service_id),
        newest_first as (partition by services.operator_code, services.service_id order by services.period desc)
)

select
    operator_code,
    service_id,
    description,
    customer_id,
    currency,
    monthly_price_ht,
    discount_percent,
    activated_on,
    terminated_on,
    installed_offer_id,
    external_reference,
    serial_number,
    order_reference,
    resale_price_ht,
    first_period::char(7) as first_period,
    last_period::char(7) as last_period,
    last_period = operators_last_period as is_in_latest_inventory
from listed
where recency = 1
