-- When does each cell reach 80 % and 70 %: cycles, ampere-hours and equivalent full cycles?
select
    battery_id,
    round(max(soh_target)::numeric, 3) as best_soh,
    round(min(soh_target)::numeric, 3) as worst_soh,
    min(cycle_index) filter (where soh_target < 0.8) as cycle_at_80,
    min(cycle_index) filter (where soh_target < 0.7) as cycle_at_70,
    round(min(throughput_ah) filter (where soh_target < 0.7)::numeric) as ah_at_70,
    round(min(equivalent_full_cycles) filter (where soh_target < 0.7)::numeric) as full_cycles_at_70
from {{ ref('cycle_features') }}
group by battery_id
having max(soh_target) >= 0.8
order by cycle_at_70, cycle_at_80, battery_id
