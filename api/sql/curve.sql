-- The samples of one cycle, as they were recorded.
select
    cycle_index,
    time_s,
    voltage_v,
    current_a,
    temperature_c
from cycle_curve
where battery_id = %(battery_id)s and cycle_index = %(cycle_index)s
