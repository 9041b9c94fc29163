select
    battery_id,
    layout,
    file_name,
    sha256,
    rated_capacity_ah,
    cutoff_v,
    recordings,
    samples,
    loaded_at
from {{ source('staging', 'source_file') }}
