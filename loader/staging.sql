-- The contract between the loader and dbt: every recording as its file has it, one row each.
-- Signs, units and oddities are the file's own; the dbt staging views bring them to one convention.

create schema if not exists staging;

-- Before there were pieces a battery was one, which is named after its file; a table's samples count
-- from the date of the first one.
do $$
declare
    old name;
begin
    if to_regclass('staging.source_file') is null or exists (
        select from pg_attribute
        where attrelid = to_regclass('staging.source_file') and attname = 'piece'
    ) then
        return;
    end if;
    alter table staging.source_file
    add column piece text,
    add column parts text [],
    add column begins_s double precision,
    add column ends_s double precision,
    add column origin_s double precision,
    add column is_dated boolean;
    update staging.source_file
    set
        piece = file_name,
        parts = array[sha256];
    foreach old in array '{aging_recording,aging_impedance,randomized_step,tabular_recording}'::name [] loop
        execute format('alter table staging.%I add column piece text', old);
        execute format(
            'update staging.%I as it set piece = files.piece '
            'from staging.source_file as files where files.battery_id = it.battery_id', old
        );
        execute format(
            'alter table staging.%I drop constraint %I, add primary key (battery_id, piece, recording_index)',
            old, old || '_pkey'
        );
    end loop;
    alter table staging.source_file
    drop constraint source_file_pkey,
    add primary key (battery_id, piece);
    update staging.source_file as it
    set
        origin_s = span.origin_s,
        begins_s = span.origin_s + span.first_s,
        ends_s = span.origin_s + span.last_s,
        is_dated = span.is_dated
    from (
        select
            battery_id,
            min(time_s[1]) as first_s,
            max(time_s[cardinality(time_s)]) as last_s,
            coalesce(
                min(started_at_unix_s - time_s[1]) filter (where recording_index = 1), 0
            ) as origin_s,
            bool_or(started_at_unix_s is not null and recording_index = 1) as is_dated
        from staging.tabular_recording
        group by battery_id
    ) as span
    where it.battery_id = span.battery_id;
end $$;

create table if not exists staging.source_file (
    battery_id text not null,
    piece text not null,
    file_name text not null,
    sha256 text not null,
    size_bytes bigint not null,
    layout text not null,
    procedure text,
    description text,
    rated_capacity_ah double precision,
    cutoff_v double precision,
    reading text,
    recordings integer not null,
    samples bigint not null,
    loaded_at timestamptz not null default now(),
    primary key (battery_id, piece)
);
alter table staging.source_file
add column if not exists rated_capacity_ah double precision,
add column if not exists cutoff_v double precision,
add column if not exists full_charge_v double precision,
add column if not exists ambient_temperature_c double precision,
add column if not exists largest_current_a double precision,
add column if not exists charge_limit_v double precision,
add column if not exists reading text,
add column if not exists fingerprint text,
add column if not exists content text,
add column if not exists parts text [],
add column if not exists readers text,
add column if not exists begins_s double precision,
add column if not exists ends_s double precision,
add column if not exists origin_s double precision,
add column if not exists is_dated boolean;
drop index if exists staging.source_file_sha256, staging.source_file_fingerprint;
create index if not exists source_file_parts on staging.source_file using gin (parts);
comment on table staging.source_file is 'One row per piece of a battery: the file its recordings came from, or several that belong together';
comment on column staging.source_file.battery_id is 'Battery, as the file names it (B0005); the file''s own name where its layout has none (RW26)';
comment on column staging.source_file.piece is 'Name of the piece within its battery: that of the file, numbered where another piece has it';
comment on column staging.source_file.parts is 'SHA-256 of each file that the piece is made of, hexadecimal';
comment on column staging.source_file.readers is 'Checksum of the readers that read it, hexadecimal';
comment on column staging.source_file.begins_s is 'First sample, s since 1970 UTC, or since the start of the test where there are no dates; null where the file is the whole battery';
comment on column staging.source_file.ends_s is 'Last sample, s, as begins_s';
comment on column staging.source_file.origin_s is 'To be added to time_s to count from where begins_s does, s';
comment on column staging.source_file.is_dated is 'Whether begins_s counts from 1970; null where the file is the whole battery';
comment on column staging.source_file.file_name is 'Name of the file, without its folder; within an archive, the way to it';
comment on column staging.source_file.sha256 is 'SHA-256 of the file''s bytes, hexadecimal; of several files, one after another';
comment on column staging.source_file.size_bytes is 'Size of the file, bytes';
comment on column staging.source_file.layout is 'Which reader read it: aging, randomized or tabular';
comment on column staging.source_file.procedure is 'Name of the test procedure, where the file tells it';
comment on column staging.source_file.description is 'The file''s own description of the test';
comment on column staging.source_file.rated_capacity_ah is 'Rated capacity, Ah, where the load said it';
comment on column staging.source_file.cutoff_v is 'Reference cut-off, V, where the load said it';
comment on column staging.source_file.full_charge_v is 'A battery resting below this voltage has not been fully charged, V, where the load said it';
comment on column staging.source_file.ambient_temperature_c is 'Ambient temperature, °C, where the load said it';
comment on column staging.source_file.largest_current_a is 'Largest current of either sign, A: the size of a cell whose rating is not known; tables only';
comment on column staging.source_file.charge_limit_v is 'Voltage at which its charger holds, V; tables only';
comment on column staging.source_file.reading is 'What the command line said of the file';
comment on column staging.source_file.fingerprint is 'What the rows depend on: bytes, reading and version of the reader, hexadecimal; null before there was one';
comment on column staging.source_file.content is 'Checksum of the samples, rounded: the same in two exports of the same recordings, hexadecimal';
comment on column staging.source_file.recordings is 'Recordings loaded from the file, a count';
comment on column staging.source_file.samples is 'Samples over time in those recordings, a count';
comment on column staging.source_file.loaded_at is 'When the load was committed';

create table if not exists staging.replaced_file (
    battery_id text not null,
    parts text [] not null,
    reading text not null,
    file_name text not null,
    replaced_by text not null,
    replaced_at timestamptz not null default now()
);
create index if not exists replaced_file_parts on staging.replaced_file using gin (parts);
comment on table staging.replaced_file is 'One row per piece that a later file took the place of: delivered again, it is left alone';
comment on column staging.replaced_file.battery_id is 'Battery (C7)';
comment on column staging.replaced_file.parts is 'SHA-256 of each file that it was made of, hexadecimal';
comment on column staging.replaced_file.reading is 'What the command line said of it';
comment on column staging.replaced_file.file_name is 'Name of the file';
comment on column staging.replaced_file.replaced_by is 'Name of the piece that took its place';
comment on column staging.replaced_file.replaced_at is 'When it did';

create table if not exists staging.aging_recording (
    battery_id text not null,
    piece text not null,
    recording_index integer not null,
    recording_type text not null,
    ambient_temperature_c double precision,
    date_vector double precision [] not null,
    time_s double precision [] not null,
    voltage_measured_v double precision [] not null,
    current_measured_a double precision [] not null,
    temperature_measured_c double precision [] not null,
    voltage_charge_v double precision [],
    current_charge_a double precision [],
    voltage_load_v double precision [],
    current_load_a double precision [],
    capacity_ah double precision,
    primary key (battery_id, piece, recording_index)
);
alter table staging.aging_recording
alter column date_vector drop not null,
alter column temperature_measured_c drop not null;
comment on table staging.aging_recording is 'One row per charge or discharge of NASA''s aging cells';
comment on column staging.aging_recording.battery_id is 'Battery (B0005)';
comment on column staging.aging_recording.piece is 'Piece that it is in: source_file';
comment on column staging.aging_recording.recording_index is 'Position in the file, from 1; shared with aging_impedance';
comment on column staging.aging_recording.recording_type is 'charge or discharge';
comment on column staging.aging_recording.ambient_temperature_c is 'Ambient temperature as stated in the file, °C';
comment on column staging.aging_recording.date_vector is 'Start: year, month, day, hour, minute, second with fraction; null where it cannot be read';
comment on column staging.aging_recording.time_s is 'Time since the start of the recording, s';
comment on column staging.aging_recording.voltage_measured_v is 'Voltage at the battery, V';
comment on column staging.aging_recording.current_measured_a is 'Current at the battery, A; negative on discharge';
comment on column staging.aging_recording.temperature_measured_c is 'Temperature of the battery, °C; null without a sensor';
comment on column staging.aging_recording.voltage_charge_v is 'Voltage at the charger, V; charges only';
comment on column staging.aging_recording.current_charge_a is 'Current at the charger, A; charges only';
comment on column staging.aging_recording.voltage_load_v is 'Voltage at the load, V; discharges only';
comment on column staging.aging_recording.current_load_a is 'Current at the load, A, of no constant sign; discharges only';
comment on column staging.aging_recording.capacity_ah is 'Capacity as the file states it, Ah; null where empty, NaN where the file has no such field; discharges only';

create table if not exists staging.aging_impedance (
    battery_id text not null,
    piece text not null,
    recording_index integer not null,
    ambient_temperature_c double precision,
    date_vector double precision [] not null,
    sense_current_re_a double precision [] not null,
    sense_current_im_a double precision [] not null,
    battery_current_re_a double precision [] not null,
    battery_current_im_a double precision [] not null,
    current_ratio_re double precision [] not null,
    current_ratio_im double precision [] not null,
    battery_impedance_re_ohm double precision [] not null,
    battery_impedance_im_ohm double precision [] not null,
    rectified_impedance_re_ohm double precision [] not null,
    rectified_impedance_im_ohm double precision [] not null,
    electrolyte_resistance_re_ohm double precision,
    electrolyte_resistance_im_ohm double precision,
    charge_transfer_resistance_re_ohm double precision,
    charge_transfer_resistance_im_ohm double precision,
    primary key (battery_id, piece, recording_index)
);
alter table staging.aging_impedance alter column date_vector drop not null;
comment on table staging.aging_impedance is 'One row per impedance sweep of NASA''s aging cells; re and im are real and imaginary parts';
comment on column staging.aging_impedance.battery_id is 'Battery (B0005)';
comment on column staging.aging_impedance.piece is 'Piece that it is in: source_file';
comment on column staging.aging_impedance.recording_index is 'Position in the file, from 1; shared with aging_recording';
comment on column staging.aging_impedance.ambient_temperature_c is 'Ambient temperature as stated in the file, °C';
comment on column staging.aging_impedance.date_vector is 'Start: year, month, day, hour, minute, second with fraction; null where it cannot be read';
comment on column staging.aging_impedance.sense_current_re_a is 'Current in the sense branch, A, by frequency';
comment on column staging.aging_impedance.sense_current_im_a is 'Current in the sense branch, A, by frequency';
comment on column staging.aging_impedance.battery_current_re_a is 'Current in the battery branch, A, by frequency';
comment on column staging.aging_impedance.battery_current_im_a is 'Current in the battery branch, A, by frequency';
comment on column staging.aging_impedance.current_ratio_re is 'Ratio of the two currents, without unit, by frequency';
comment on column staging.aging_impedance.current_ratio_im is 'Ratio of the two currents, without unit, by frequency';
comment on column staging.aging_impedance.battery_impedance_re_ohm is 'Impedance computed from raw data, ohm, by frequency';
comment on column staging.aging_impedance.battery_impedance_im_ohm is 'Impedance computed from raw data, ohm, by frequency';
comment on column staging.aging_impedance.rectified_impedance_re_ohm is 'Impedance calibrated and smoothed, ohm, by frequency';
comment on column staging.aging_impedance.rectified_impedance_im_ohm is 'Impedance calibrated and smoothed, ohm, by frequency';
comment on column staging.aging_impedance.electrolyte_resistance_re_ohm is 'Fitted electrolyte resistance (Re), ohm';
comment on column staging.aging_impedance.electrolyte_resistance_im_ohm is 'Imaginary part of Re, ohm; not zero where the fit failed';
comment on column staging.aging_impedance.charge_transfer_resistance_re_ohm is 'Fitted charge-transfer resistance (Rct), ohm; 1e5 where contact was lost';
comment on column staging.aging_impedance.charge_transfer_resistance_im_ohm is 'Imaginary part of Rct, ohm; not zero where the fit failed';

create table if not exists staging.randomized_step (
    battery_id text not null,
    piece text not null,
    recording_index integer not null,
    comment text not null,
    step_type text not null,
    date text not null,
    relative_time_s double precision [] not null,
    time_s double precision [] not null,
    voltage_v double precision [] not null,
    current_a double precision [] not null,
    temperature_c double precision [] not null,
    primary key (battery_id, piece, recording_index)
);
alter table staging.randomized_step
alter column date drop not null,
alter column relative_time_s drop not null,
alter column temperature_c drop not null;
comment on table staging.randomized_step is 'One row per step of NASA''s randomized-usage cells';
comment on column staging.randomized_step.battery_id is 'Battery (RW26), from the name of the file';
comment on column staging.randomized_step.piece is 'Piece that it is in: source_file';
comment on column staging.randomized_step.recording_index is 'Position in the file, from 1';
comment on column staging.randomized_step.comment is 'What the step was for, in the file''s words';
comment on column staging.randomized_step.step_type is 'C charge, D discharge or R rest';
comment on column staging.randomized_step.date is 'Start, as the file writes it: 14-Nov-2014 17:25:43; null where it has none';
comment on column staging.randomized_step.relative_time_s is 'Time since the start of the step, s; not strictly increasing everywhere; null where the file has no such field';
comment on column staging.randomized_step.time_s is 'Time since the start of the experiment, s';
comment on column staging.randomized_step.voltage_v is 'Voltage at the battery, V';
comment on column staging.randomized_step.current_a is 'Current at the battery, A; positive on discharge';
comment on column staging.randomized_step.temperature_c is 'Temperature of the battery, °C; null without a sensor';

create table if not exists staging.tabular_recording (
    battery_id text not null,
    piece text not null,
    recording_index integer not null,
    recording_type text not null,
    started_at_unix_s double precision,
    cycle_count integer,
    step_count integer,
    ambient_temperature_c double precision,
    time_s double precision [] not null,
    voltage_v double precision [] not null,
    current_a double precision [] not null,
    temperature_c double precision [] not null,
    primary key (battery_id, piece, recording_index)
);
alter table staging.tabular_recording
add column if not exists pulse text,
add column if not exists activity text,
add column if not exists lead_in_s double precision,
add column if not exists counted_ah double precision,
alter column temperature_c drop not null;
comment on table staging.tabular_recording is 'One row per charge, discharge or rest in a CSV or Parquet time series';
comment on column staging.tabular_recording.battery_id is 'Battery, as a column, an option or the file''s own name says';
comment on column staging.tabular_recording.piece is 'Piece that it is in: source_file';
comment on column staging.tabular_recording.recording_index is 'Position in time within the piece, from 1';
comment on column staging.tabular_recording.recording_type is 'charge, discharge or rest, by the charge that flowed; a pulse belongs to what it interrupts';
comment on column staging.tabular_recording.pulse is 'first, last or only where it flows before, after or without all charges and discharges of the piece, too little to be told from a pulse within one; else null';
comment on column staging.tabular_recording.started_at_unix_s is 'Start, s since 1970-01-01 UTC; null where the file has no such column';
comment on column staging.tabular_recording.cycle_count is 'Cycle as the cycler counts it; null where it does not';
comment on column staging.tabular_recording.step_count is 'Step as the cycler counts it; null where it does not';
comment on column staging.tabular_recording.ambient_temperature_c is 'Ambient temperature at the start, °C; null where not recorded';
comment on column staging.tabular_recording.activity is 'characterisation where it cannot be compared with a discharge in use; else null';
comment on column staging.tabular_recording.lead_in_s is 'Time from the start of the recording''s step to its first sample, s; null where not known';
comment on column staging.tabular_recording.counted_ah is 'Charge that passed, as the cycler counted it, Ah; positive, null without a counter';
comment on column staging.tabular_recording.time_s is 'Time since the start of the test, s';
comment on column staging.tabular_recording.voltage_v is 'Voltage at the battery, V';
comment on column staging.tabular_recording.current_a is 'Current at the battery, A; negative on discharge, whatever the file says';
comment on column staging.tabular_recording.temperature_c is 'Temperature of the battery, else around it, °C; null without a sensor';

-- Arrays of floats hardly compress, and compressing them costs three times the rest of the load.
do $$
declare
    wide record;
begin
    for wide in
        select attrelid::regclass as relation, attname as name
        from pg_attribute
        where attrelid in (select oid from pg_class where relnamespace = 'staging'::regnamespace)
            and atttypid = 'double precision[]'::regtype
            and attstorage <> 'e'
    loop
        execute format('alter table %s alter column %I set storage external', wide.relation, wide.name);
    end loop;
end $$;
