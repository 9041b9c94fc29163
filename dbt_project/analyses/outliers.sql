-- Which cycles stand out from their neighbours: 5 % or more from the median of the four around them?
with

neighbours as (

    select
        cycles.battery_id,
        cycles.cycle_index,
        cycles.soh_target,
        cycles.avg_current_load,
        cycles.rest_hours,
        around.median
    from {{ ref('cycle_features') }} as cycles
    cross join lateral (
        select percentile_cont(0.5) within group (order by others.soh_target) as median
        from {{ ref('cycle_features') }} as others
        where
            others.battery_id = cycles.battery_id
            and others.cycle_index <> cycles.cycle_index
            and others.cycle_index between cycles.cycle_index - 2 and cycles.cycle_index + 2
    ) as around
    where cycles.soh_target is not null

)

select
    battery_id,
    cycle_index,
    round(soh_target::numeric, 3) as soh,
    round(median::numeric, 3) as neighbours_soh,
    round(avg_current_load::numeric, 1) as load_a,
    round(rest_hours::numeric, 1) as rest_hours
from neighbours
where abs(soh_target - median) > 0.05
order by abs(soh_target - median) desc
limit 12
