-- How fast batteries were cycled by each of their cycles.
select
    battery_id,
    cycle_index,
    hours_per_cycle
from cycle_pace
where battery_id = any(%(battery_ids)s)
