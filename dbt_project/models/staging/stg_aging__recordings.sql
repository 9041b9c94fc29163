with

source as (

    select * from {{ source('staging', 'aging_recording') }}

),

renamed as (

    select
        battery_id,
        piece,
        recording_index,
        recording_type,
        ambient_temperature_c,
        {{ timestamp_from('date_vector') }} as started_at,
        time_s,
        voltage_measured_v as voltage_v,
        {{ negated('current_measured_a') }} as current_a,
        temperature_measured_c as temperature_c,
        capacity_ah as recorded_capacity_ah
    from source

)

select * from renamed
