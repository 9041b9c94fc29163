-- Where does each curve bend? The cycle furthest above the line from first to last state of health.
with

spans as (

    select
        battery_id,
        cycle_index,
        soh_target,
        first_value(cycle_index) over battery as first_cycle,
        last_value(cycle_index) over battery as last_cycle,
        first_value(soh_target) over battery as first_soh,
        last_value(soh_target) over battery as last_soh
    from {{ ref('cycle_features') }}
    where soh_target is not null
    window battery as (
        partition by battery_id order by cycle_index
        rows between unbounded preceding and unbounded following
    )

),

heights as (

    select
        battery_id,
        cycle_index,
        soh_target,
        last_cycle,
        soh_target - first_soh - (last_soh - first_soh) * (cycle_index - first_cycle)
        / (last_cycle - first_cycle) as height
    from spans
    where last_cycle - first_cycle >= 40

)

select distinct on (battery_id)
    battery_id,
    cycle_index as knee_cycle,
    last_cycle as of_cycles,
    round(soh_target::numeric, 3) as soh_at_knee,
    round((100 * height)::numeric, 1) as percent_above_line
from heights
order by battery_id, height desc
