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
        recording_index,
        recording_type,
        'cycling' as activity,
        recording_index as cycle_count,
        started_at,
        ambient_temperature_c,
        coalesce(recorded_capacity_ah, 0) > 0 as is_capacity_recorded,
        time_s,
        voltage_v,
        current_a,
        temperature_c
    from aging

    union all

    select
        battery_id,
        recording_index,
        recording_type,
        activity,
        null as cycle_count,
        started_at,
        null as ambient_temperature_c,
        true as is_capacity_recorded,
        time_s,
        voltage_v,
        current_a,
        temperature_c
    from randomized

    union all

    select
        battery_id,
        recording_index,
        recording_type,
        'cycling' as activity,
        cycle_count,
        started_at,
        ambient_temperature_c,
        true as is_capacity_recorded,
        time_s,
        voltage_v,
        current_a,
        temperature_c
    from tabular

)

select * from united
