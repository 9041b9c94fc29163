with

discharges as (

    select * from {{ ref('cycle_quality') }}

),

recordings as (

    select * from {{ ref('int_recordings') }}

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
