{%- set carried = [
    "activity", "started_at", "is_capacity_recorded", "recorded_capacity_ah", "counted_ah",
    "ambient_temperature_c", "temperature_c",
] -%}
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
        recording_order.battery_id,
        recording_order.recording_index,
        recording_order.discharge_index,
        recording_order.pulse,
        recording_order.shift_s,
        recording_order.lead_in_s,
        recording_order.is_charge_recorded,
        recording_order.voltage_before_v,
        recording_order.is_out_of_order,
        recording_order.is_undated,
        batteries.rated_capacity_ah,
        batteries.cutoff_v,
        batteries.full_charge_v,
        batteries.size_a,
        held.activity,
        held.started_at,
        held.is_capacity_recorded,
        held.recorded_capacity_ah,
        held.counted_ah,
        held.time_s,
        held.voltage_v,
        held.current_a,
        held.temperature_c,
        coalesce(
            {{ finite('held.ambient_temperature_c') }}, batteries.ambient_temperature_c
        ) as ambient_temperature_c
    from recording_order
    inner join batteries
        on recording_order.battery_id = batteries.battery_id
    cross join lateral ({{ held('recording_order', carried) }}) as held
    where recording_order.recording_type = 'discharge'

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
            min(n) as load_on,
            -- what interrupts a discharge for a moment is part of it
            coalesce(
                max(n),
                case when numbered.pulse is not null then cardinality(numbered.current_a) end
            ) as load_off,
            min(n) filter (where numbered.voltage_v[n] < numbered.cutoff_v) as cut_off
        from generate_series(1, cardinality(numbered.current_a)) as numbers (n)
        where numbered.current_a[n] > threshold.load_a
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
