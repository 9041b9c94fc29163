-- 1,000 batteries of 200 cycles each, in what dbt has built, made from the cycles of S0001.
create temporary table source_cycles as
select * from cycle_series where battery_id = 'S0001';

truncate cycle_series, cycle_quality, battery_summary, battery_history;

insert into battery_history (
    battery_id, last_cycle_index, last_age, truth_cycle, truth_age, truth_soh, hours_per_cycle,
    last_cycles
)
select
    'F' || lpad(b::text, 4, '0'),
    200,
    166,
    array(select i from generate_series(1, 200) as i),
    array(select 0.83 * i from generate_series(1, 200) as i),
    array(select 0.98 - 0.3 * i / 200.0 - b / 10000.0 from generate_series(1, 200) as i),
    6,
    (
        select jsonb_agg(features || jsonb_build_object('soh_target', soh_target))
        from (select * from source_cycles order by cycle_index limit 50) as last_cycles
    )
from generate_series(1, 1000) as b;

insert into battery_summary (
    battery_id, layout, is_simulated, battery_group, rated_capacity_ah, cutoff_v, discharges, cycles,
    first_soh, last_soh, end_of_life_cycle
)
select
    battery_id,
    'aging',
    true,
    'made for the benchmark',
    2,
    2.7,
    200,
    200,
    truth_soh[1],
    truth_soh[200],
    null
from battery_history;

insert into cycle_series (battery_id, cycle_index, features, soh_target)
select
    battery_id,
    i,
    last_cycles -> (i % 50),
    truth_soh[i]
from battery_history
cross join generate_series(1, 200) as i;

insert into cycle_quality (battery_id, discharge_index, cycle_index, is_usable, reason)
select
    battery_id,
    cycle_index,
    cycle_index,
    true,
    'kept'
from cycle_series;

analyze;
