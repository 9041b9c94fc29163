select
    battery_id,
    layout,
    file_name,
    sha256,
    recordings,
    samples,
    loaded_at
from {{ source('staging', 'source_file') }}
