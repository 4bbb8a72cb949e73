select
    operator_code,
    period,
    sha256,
    location,
    media_type,
    bytes,
    fetched_at,
    run_id,
    loaded_at
from {{ source('billing', 'source_documents') }}
