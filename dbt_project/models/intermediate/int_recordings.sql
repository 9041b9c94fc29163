with

aging as (

    select * from {{ ref('stg_aging__recordings') }}

),

randomized as (

    select * from {{ ref('stg_randomized__steps') }}

),

tabular as (

    select * from {{ ref('stg_tabular__recordings') }}

),

-- every layout ends here, in one shape: a new one is one more branch
united as (

    select
        battery_id,
        piece,
        recording_index as piece_index,
        recording_type,
        null as pulse,
        'cycling' as activity,
        recording_index as cycle_count,
        started_at,
        ambient_temperature_c,
        coalesce(recorded_capacity_ah, 0) > 0 as is_capacity_recorded,
        recorded_capacity_ah,
        null::float8 as counted_ah,
        null::float8 as lead_in_s,
        time_s,
        voltage_v,
        current_a,
        temperature_c
    from aging

    union all

    select
        battery_id,
        piece,
        recording_index,
        recording_type,
        null as pulse,
        activity,
        null as cycle_count,
        started_at,
        null as ambient_temperature_c,
        true as is_capacity_recorded,
        null as recorded_capacity_ah,
        null as counted_ah,
        null as lead_in_s,
        time_s,
        voltage_v,
        current_a,
        temperature_c
    from randomized

    union all

    select
        battery_id,
        piece,
        recording_index,
        recording_type,
        pulse,
        activity,
        cycle_count,
        started_at,
        ambient_temperature_c,
        true as is_capacity_recorded,
        null as recorded_capacity_ah,
        counted_ah,
        lead_in_s,
        time_s,
        voltage_v,
        current_a,
        temperature_c
    from tabular

)

select * from united
