-- When is each cell at its end of life, by what measure, and after how many ampere-hours?
select
    batteries.battery_id,
    batteries.operating_points,
    round(batteries.first_soh::numeric, 3) as first_soh,
    round(batteries.last_soh::numeric, 3) as last_soh,
    round(batteries.last_retention::numeric, 3) as last_retention,
    batteries.end_of_life_cycle,
    batteries.end_of_life_measure as by_measure,
    round(cycles.throughput_ah::numeric) as ah,
    round(cycles.equivalent_full_cycles::numeric) as full_cycles
from {{ ref('battery_summary') }} as batteries
left join {{ ref('cycle_features') }} as cycles
    on
        batteries.battery_id = cycles.battery_id
        and batteries.end_of_life_cycle = cycles.cycle_index
order by batteries.end_of_life_cycle, batteries.battery_id
