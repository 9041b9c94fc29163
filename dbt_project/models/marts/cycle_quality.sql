with

discharges as (

    select * from {{ ref('int_verdicts') }}
    {{ only_changed_discharges() }}

),

final as (

    select
        {{ battery_key('battery_id') }} as battery_id,
        discharge_index,
        recording_index,
        cycle_index,
        activity::varchar as activity,
        started_at,
        samples,
        discharge_capacity_ah,
        stated_capacity_ah as recorded_capacity_ah,
        capacity_deviation,
        is_usable,
        reason::varchar as reason
    from discharges

)

select * from final
