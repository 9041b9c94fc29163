with

recordings as (

    select * from {{ ref('int_recordings') }}

),

recording_order as (

    select * from {{ ref('int_recording_order') }}

),

batteries as (

    select * from {{ ref('int_batteries') }}

),

numbered as (

    select
        recordings.battery_id,
        recordings.recording_index,
        recordings.activity,
        recordings.started_at,
        recordings.is_capacity_recorded,
        recordings.time_s,
        recordings.voltage_v,
        recordings.current_a,
        recordings.temperature_c,
        recording_order.discharge_index,
        recording_order.is_charge_recorded,
        recording_order.voltage_before_v,
        batteries.rated_capacity_ah,
        batteries.cutoff_v,
        batteries.full_charge_v,
        coalesce(
            {{ finite('recordings.ambient_temperature_c') }}, batteries.ambient_temperature_c
        ) as ambient_temperature_c
    from recordings
    inner join recording_order
        on
            recordings.battery_id = recording_order.battery_id
            and recordings.recording_index = recording_order.recording_index
    inner join batteries
        on recordings.battery_id = batteries.battery_id
    where recordings.recording_type = 'discharge'

),

-- sample numbers, from 1: first and last under load, and the first of these below the cut-off
final as (

    select
        numbered.*,
        bounds.load_on,
        bounds.load_off,
        bounds.cut_off,
        coalesce(bounds.cut_off, bounds.load_off) as last_sample
    from numbered
    cross join lateral (
        select
            min(samples.i) as load_on,
            max(samples.i) as load_off,
            min(samples.i) filter (where samples.voltage_v < numbered.cutoff_v) as cut_off
        from
            unnest(numbered.current_a, numbered.voltage_v)
            with ordinality as samples (current_a, voltage_v, i)
        where samples.current_a > {{ var('load_current_a') }}
    ) as bounds

)

select * from final
