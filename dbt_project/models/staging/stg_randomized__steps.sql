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
        source.piece,
        source.recording_index,
        lower(trim(source.comment)) as comment,
        case upper(left(trim(source.step_type), 1))
            when 'C' then 'charge'
            when 'D' then 'discharge'
            when 'R' then 'rest'
        end as stated_type,
        {{ timestamp_from_parts('dates.parts') }} as started_at,
        source.time_s,
        source.voltage_v,
        source.current_a,
        source.temperature_c
    from source
    -- the offset has the text matched once, and not wherever a part of the date is looked at
    cross join lateral (
        select {{ date_parts('source.date') }} as parts
        from (values (true)) as once (is_once)
        offset 0
    ) as dates

),

classified as (

    select
        renamed.battery_id,
        renamed.piece,
        renamed.recording_index,
        renamed.comment,
        -- where the type does not say, the comment does, or else the current
        coalesce(
            renamed.stated_type,
            activities.recording_type,
            case
            (
                select sign(round(avg(current_a)::numeric, 2))
                from unnest(renamed.current_a) as samples (current_a)
                where current_a between -1000 and 1000
            )
                when 1 then 'discharge'
                when -1 then 'charge'
                else 'rest'
            end
        ) as recording_type,
        activities.activity,
        renamed.started_at,
        renamed.time_s,
        renamed.voltage_v,
        renamed.current_a,
        renamed.temperature_c
    from renamed
    left join activities
        on renamed.comment = activities.comment

)

select * from classified
