with

discharges as (

    select * from {{ ref('cycle_quality') }}

),

aging as (

    select * from {{ ref('stg_aging__recordings') }}

),

randomized as (

    select * from {{ ref('stg_randomized__steps') }}

),

recordings as (

    select
        battery_id,
        recording_index,
        time_s,
        voltage_v,
        current_a,
        temperature_c
    from aging

    union all

    select
        battery_id,
        recording_index,
        time_s,
        voltage_v,
        current_a,
        temperature_c
    from randomized

),

final as (

    select
        discharges.battery_id,
        discharges.cycle_index,
        recordings.time_s,
        recordings.voltage_v,
        recordings.current_a,
        recordings.temperature_c
    from discharges
    inner join recordings
        on
            discharges.battery_id = recordings.battery_id
            and discharges.recording_index = recordings.recording_index
    where discharges.is_usable

)

select * from final
