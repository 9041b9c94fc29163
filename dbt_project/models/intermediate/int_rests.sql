with

recording_order as (

    select * from {{ ref('int_recording_order') }}

),

bounded as (

    select
        battery_id,
        discharge_index,
        min(begins_at) filter (where recording_type = 'discharge') as begins_at,
        max(ended_at) filter (where recording_type = 'discharge') as ended_at,
        min(begins_at) filter (where recording_type = 'charge') as charge_begins_at,
        sum(ended_at - begins_at) filter (where recording_type = 'charge') as charging
    from recording_order
    where not is_out_of_order
    group by battery_id, discharge_index

),

paired as (

    select
        *,
        lag(ended_at) over (partition by battery_id order by discharge_index) as last_ended_at
    from bounded

),

final as (

    select
        battery_id,
        discharge_index,
        {{ hours_between('last_ended_at', 'begins_at') }} as rest_hours,
        {{ hours_between('last_ended_at', 'charge_begins_at') }} as rest_after_hours,
        {{ hours_between('(charge_begins_at + charging)', 'begins_at') }} as rest_before_hours
    from paired

)

select * from final
