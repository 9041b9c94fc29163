with

recordings as (

    select * from {{ ref('int_recordings') }}
    {{ only_changed_batteries() }}

),

-- narrow: the arrays themselves stay where they are, only their ends are looked at, once
timed as (

    select
        recordings.battery_id,
        recordings.recording_index,
        recordings.recording_type,
        recordings.activity,
        recordings.cycle_count,
        recordings.begins_at,
        recordings.begins_at + {{ seconds('ends.duration_s') }} as ended_at,
        count(recordings.begins_at) over (partition by recordings.battery_id) > 0
            as is_dated_battery,
        ends.last_voltage_v,
        count(*) filter (where recordings.recording_type = 'charge') over earlier as charges
    from recordings
    cross join
        lateral (
            select
                recordings.time_s[cardinality(recordings.time_s)]
                - recordings.time_s[1] as duration_s,
                recordings.voltage_v[cardinality(recordings.voltage_v)] as last_voltage_v
            from (values (true)) as once (is_once)
            offset 0
        ) as ends
    window earlier as (
        partition by recordings.battery_id order by recordings.recording_index
    )

),

-- discharges of one activity, and of one cycle, between two charges are one
stepped as (

    select
        *,
        recording_type = 'discharge'
        and (
            charges is distinct from lag(charges) over same_type
            or activity is distinct from lag(activity) over same_type
            or cycle_count is distinct from lag(cycle_count) over same_type
        ) as is_first_step,
        lag(last_voltage_v) over earlier as voltage_before_v,
        lag(ended_at) over earlier as before_ended_at,
        coalesce(begins_at < lag(begins_at) over earlier, false) as is_out_of_order
    from timed
    window
        earlier as (partition by battery_id order by recording_index),
        same_type as (partition by battery_id, recording_type order by recording_index)

),

counted as (

    select
        *,
        count(*) filter (where is_first_step) over (
            partition by battery_id order by recording_index
        ) as discharges
    from stepped

),

final as (

    select
        battery_id,
        recording_index,
        case
            when recording_type = 'discharge' then discharges
            else discharges + 1
        end::int as discharge_index,
        recording_type,
        begins_at,
        ended_at,
        is_out_of_order,
        begins_at is null and is_dated_battery as is_undated,
        charges > 0 as is_charge_recorded,
        -- hours later the voltage is another
        case
            when begins_at - before_ended_at < interval '1 minute' then voltage_before_v
        end as voltage_before_v
    from counted

)

select * from final
