-- The one query of the trainer and the service: a battery's cycles in time order.
select
    battery_id,
    cycle_index,
    features,
    soh_target
from cycle_series
where battery_id = any(%(battery_ids)s)
order by battery_id, cycle_index
