with

discharges as (

    select * from {{ ref('cycle_quality') }}

),

recording_order as (

    select * from {{ ref('int_recording_order') }}

),

recordings as (

    select * from {{ ref('int_recordings') }}

),

final as (

    select
        discharges.battery_id,
        discharges.discharge_index,
        discharges.cycle_index,
        {% for name in ["time_s", "voltage_v", "current_a"] -%}
            array_agg(
                {{ "recording_order.shift_s + " if name == "time_s" }}samples.{{ name }}
                order by recording_order.recording_index, samples.n
            ) as {{ name }},
        {% endfor -%}
        array_agg(
            samples.temperature_c order by recording_order.recording_index, samples.n
        ) filter (where recordings.temperature_c is not null) as temperature_c
    from discharges
    inner join recording_order
        on
            discharges.battery_id = recording_order.battery_id
            and discharges.discharge_index = recording_order.discharge_index
            and recording_order.recording_type = 'discharge'
    inner join recordings
        on
            recording_order.battery_id = recordings.battery_id
            and recording_order.piece = recordings.piece
            and recording_order.piece_index = recordings.piece_index
    cross join
        lateral (
            select *
            from unnest(
                recordings.time_s,
                recordings.voltage_v,
                recordings.current_a,
                recordings.temperature_c
            ) with ordinality as numbered (time_s, voltage_v, current_a, temperature_c, n)
        ) as samples
    group by discharges.battery_id, discharges.discharge_index, discharges.cycle_index

)

select * from final
