with

source as (

    select * from {{ source('staging', 'tabular_recording') }}

),

renamed as (

    select
        battery_id,
        recording_index,
        recording_type,
        cycle_count,
        to_timestamp(started_at_unix_s) at time zone 'utc' as started_at,
        ambient_temperature_c,
        time_s,
        voltage_v,
        {{ negated('current_a') }} as current_a,
        temperature_c
    from source

)

select * from renamed
