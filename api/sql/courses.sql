-- The ground truths of some batteries in time order, as arrays, with what they can be set against.
select
    summary.battery_id,
    coalesce(summary.battery_group, summary.layout) as battery_group,
    summary.is_simulated,
    array_agg(cycles.cycle_index order by cycles.cycle_index) as cycle_index,
    array_agg(cycles.throughput_ah order by cycles.cycle_index) as throughput_ah,
    array_agg(
        to_char(quality.started_at, 'YYYY-MM-DD"T"HH24:MI:SS') order by cycles.cycle_index
    ) as started_at,
    array_agg(cycles.soh_target order by cycles.cycle_index) as soh,
    array_agg(cycles.capacity_retention order by cycles.cycle_index) as capacity_retention
from battery_summary as summary
inner join cycle_features as cycles
    on summary.battery_id = cycles.battery_id
inner join cycle_quality as quality
    on cycles.battery_id = quality.battery_id and cycles.cycle_index = quality.cycle_index
where
    summary.battery_id = any(%(battery_ids)s)
    and coalesce(cycles.soh_target, cycles.capacity_retention) is not null
group by summary.battery_id, summary.battery_group, summary.layout, summary.is_simulated
order by battery_group, summary.battery_id
