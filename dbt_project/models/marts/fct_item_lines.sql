-- From a verdict to its proof: every line it rests on, with the file and the row where the line stands.
with item_lines as (
    select
        operator_code,
        period,
        item_id,
        status,
        unnest(invoice_line_ids) as line_reference
    from {{ ref('fct_reconciliation_items') }}
)

select
    item_lines.operator_code,
    item_lines.period,
    item_lines.item_id,
    item_lines.status,
    shares.invoice_id,
    shares.line_id,
    shares.period as invoice_period,
    coalesce(invoices.invoice_date, (invoices.received_at at time zone 'Europe/Paris')::date) as invoice_date,
    lines.charge_type,
    lines.description,
    lines.service_from,
    lines.service_to,
    lines.charge_month,
    shares.days,
    shares.amount_ht,
    shares.currency,
    shares.invoicing_amount,
    shares.invoicing_currency,
    lines.total_ht,
    regexp_replace(documents.location, '^.*/', '') as file_name,
    lines.source_row,
    lines.source_sha256,
    documents.location,
    documents.fetched_at
from item_lines
inner join {{ ref('stg_line_allocations') }} as shares
    on shares.operator_code = item_lines.operator_code
    and shares.service_month = item_lines.period
    and shares.invoice_id || ':' || shares.line_id = item_lines.line_reference
inner join {{ ref('stg_invoice_lines') }} as lines
    on lines.operator_code = shares.operator_code
    and lines.period = shares.period
    and lines.invoice_id = shares.invoice_id
    and lines.line_id = shares.line_id
left join {{ ref('stg_invoices') }} as invoices
    on invoices.operator_code = shares.operator_code
    and invoices.period = shares.period
    and invoices.invoice_id = shares.invoice_id
left join {{ ref('stg_source_documents') }} as documents
    on documents.operator_code = lines.operator_code
    and documents.period = lines.period
    and documents.sha256 = lines.source_sha256
