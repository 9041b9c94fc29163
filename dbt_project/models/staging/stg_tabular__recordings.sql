with

source as (

    select * from {{ source('staging', 'tabular_recording') }}

),

renamed as (

    select
        battery_id,
        piece,
        recording_index,
        recording_type,
        pulse,
        coalesce(activity, 'cycling') as activity,
        cycle_count,
        case
            when abs(started_at_unix_s) < 1e11
                then to_timestamp(started_at_unix_s) at time zone 'utc'
        end as started_at,
        lead_in_s,
        counted_ah,
        ambient_temperature_c,
        time_s,
        voltage_v,
        {{ negated('current_a') }} as current_a,
        temperature_c
    from source

)

select * from renamed
