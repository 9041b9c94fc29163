select
    battery_id,
    layout,
    file_name,
    sha256,
    -- what loader.simulate writes begins so
    coalesce(description like 'Simulated, not a measurement%', false) as is_simulated,
    rated_capacity_ah,
    cutoff_v,
    full_charge_v,
    ambient_temperature_c,
    largest_current_a,
    charge_limit_v,
    recordings,
    samples,
    loaded_at
from {{ source('staging', 'source_file') }}
