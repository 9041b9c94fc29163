select
    battery_id,
    piece,
    layout,
    file_name,
    description,
    rated_capacity_ah,
    cutoff_v,
    full_charge_v,
    ambient_temperature_c,
    largest_current_a,
    charge_limit_v,
    recordings,
    samples,
    is_dated,
    begins_s,
    ends_s,
    coalesce(origin_s, 0) as origin_s,
    coalesce(origin_s - min(origin_s) over (partition by battery_id), 0) as shift_s,
    coalesce(sum(recordings) over (
        partition by battery_id
        order by begins_s, piece
        rows between unbounded preceding and 1 preceding
    ), 0)::int as recordings_before,
    loaded_at
from {{ source('staging', 'source_file') }}
