-- The one query of the trainer and the service: batteries' cycles in time order.
select
    series.battery_id,
    series.cycle_index,
    series.features,
    series.soh_target,
    coalesce(summary.is_simulated, false) as is_simulated
from cycle_series as series
left join battery_summary as summary on series.battery_id = summary.battery_id
where series.battery_id = any(%(battery_ids)s)
order by series.battery_id, series.cycle_index
