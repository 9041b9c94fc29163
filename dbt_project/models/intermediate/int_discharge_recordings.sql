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
        recordings.recorded_capacity_ah,
        recordings.counted_ah,
        recordings.lead_in_s,
        recordings.time_s,
        recordings.voltage_v,
        recordings.current_a,
        recordings.temperature_c,
        recording_order.discharge_index,
        recording_order.is_charge_recorded,
        recording_order.voltage_before_v,
        recording_order.is_out_of_order,
        recording_order.is_undated,
        batteries.rated_capacity_ah,
        batteries.cutoff_v,
        batteries.full_charge_v,
        batteries.size_a,
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
bounded as (

    select
        numbered.*,
        bounds.load_on,
        bounds.load_off,
        bounds.cut_off,
        coalesce(bounds.cut_off, bounds.load_off) as last_sample
    from numbered
    cross join
        lateral (
            select
                greatest(
                    {{ var('rest_c_rate') }} * numbered.size_a,
                    least({{ var('load_c_rate') }} * numbered.size_a, max(current_a) / 2)
                ) as load_a
            from unnest(numbered.current_a) as samples (current_a)
            where current_a < 'infinity'
        ) as threshold
    cross join lateral (
        select
            min(samples.i) as load_on,
            max(samples.i) as load_off,
            min(samples.i) filter (where samples.voltage_v < numbered.cutoff_v) as cut_off
        from
            unnest(numbered.current_a, numbered.voltage_v)
            with ordinality as samples (current_a, voltage_v, i)
        where samples.current_a > threshold.load_a
    ) as bounds

),

-- a gap is longer than all usual intervals; a sample before the first one begins the step
final as (

    select
        bounded.*,
        sampling.gap_s,
        sampling.usual_s,
        sampling.usual_fall_v,
        case
            when
                bounded.load_on = 1
                and bounded.lead_in_s between 0 and coalesce(sampling.gap_s, sampling.longest_s)
                then bounded.lead_in_s
            else 0
        end as lead_s
    from bounded
    cross join lateral ({{ sampling('bounded') }}) as sampling

)

select * from final
