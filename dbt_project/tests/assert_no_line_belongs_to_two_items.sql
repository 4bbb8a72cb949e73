-- A billed euro is explained once: within a month no line stands in two items, nor twice in one.
select operator_code, period, line_reference, count(*) as places
from (
    select operator_code, period, unnest(invoice_line_ids) as line_reference
    from {{ ref('fct_reconciliation_items') }}
) as lines
group by operator_code, period, line_reference
having count(*) > 1
