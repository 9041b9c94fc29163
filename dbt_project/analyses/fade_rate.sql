-- Which cells fade fastest, per cycle and per ampere-hour delivered, at one operating point?
select
    battery_id,
    operating_point,
    count(soh_target) as cycles,
    round((-100 * regr_slope(soh_target, cycle_index))::numeric, 3) as fade_percent_per_cycle,
    round((-100 * regr_slope(soh_target, throughput_ah))::numeric, 3) as fade_percent_per_ah
from {{ ref('cycle_features') }}
group by battery_id, operating_point
having count(soh_target) >= 10
order by fade_percent_per_ah desc
