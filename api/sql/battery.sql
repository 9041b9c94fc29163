-- One battery, with what it is predicted from.
select
    battery_id,
    battery_group,
    layout,
    is_simulated,
    ambient,
    load,
    rated_capacity_ah,
    cutoff_v,
    discharges,
    cycles,
    first_soh,
    last_soh,
    last_retention,
    end_of_life_cycle,
    end_of_life_measure,
    last_cycle_index,
    last_age,
    truth_cycle,
    truth_age,
    truth_soh,
    hours_per_cycle,
    last_cycles
from battery_summary
left join battery_history using (battery_id)
where battery_id = %(battery_id)s
