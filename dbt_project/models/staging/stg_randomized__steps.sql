with

source as (

    select * from {{ source('staging', 'randomized_step') }}

),

activities as (

    select * from {{ ref('randomized_comment') }}

),

renamed as (

    select
        source.battery_id,
        source.recording_index,
        lower(trim(source.comment)) as comment,
        case source.step_type
            when 'C' then 'charge'
            when 'D' then 'discharge'
            when 'R' then 'rest'
        end as recording_type,
        to_timestamp(source.date, 'DD-Mon-YYYY HH24:MI:SS')::timestamp as started_at,
        source.time_s,
        source.voltage_v,
        source.current_a,
        source.temperature_c
    from source

),

classified as (

    select
        renamed.*,
        activities.activity
    from renamed
    left join activities
        on renamed.comment = activities.comment

)

select * from classified
