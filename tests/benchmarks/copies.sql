-- The one simulated cell, again under other names, until there are %(cells)s of them.
insert into staging.source_file
select
    (jsonb_populate_record(
        it, jsonb_build_object('battery_id', 'S' || n, 'sha256', md5(n::text))
    )).*
from staging.source_file as it
cross join generate_series(2, %(cells)s) as n
where it.battery_id = 'S'
on conflict do nothing;

insert into staging.aging_recording (
    battery_id, piece, recording_index, recording_type, ambient_temperature_c, date_vector, time_s,
    voltage_measured_v, current_measured_a, temperature_measured_c, voltage_charge_v,
    current_charge_a, voltage_load_v, current_load_a, capacity_ah
)
select
    'S' || n,
    piece,
    recording_index,
    recording_type,
    ambient_temperature_c,
    date_vector,
    time_s,
    voltage_measured_v,
    current_measured_a,
    temperature_measured_c,
    voltage_charge_v,
    current_charge_a,
    voltage_load_v,
    current_load_a,
    capacity_ah
from staging.aging_recording
cross join generate_series(2, %(cells)s) as n
where battery_id = 'S'
on conflict do nothing
