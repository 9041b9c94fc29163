-- The samples of a recorded discharge, kept or left out, as they were recorded.
select
    curves.discharge_index,
    curves.cycle_index,
    quality.reason,
    curves.time_s,
    curves.voltage_v,
    curves.current_a,
    curves.temperature_c
from discharge_curve as curves
inner join cycle_quality as quality
    on
        curves.battery_id = quality.battery_id
        and curves.discharge_index = quality.discharge_index
where curves.battery_id = %(battery_id)s and curves.discharge_index = %(discharge_index)s
