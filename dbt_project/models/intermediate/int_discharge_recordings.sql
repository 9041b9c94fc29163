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
        held.voltage_v as recorded_voltage_v,
        held.current_a,
        held.temperature_c,
        lead(recording_order.recording_index) over (
            partition by recording_order.battery_id, recording_order.discharge_index
            order by recording_order.recording_index
        ) is null as is_last,
        coalesce(
            {{ finite('held.ambient_temperature_c') }}, batteries.ambient_temperature_c
        ) as ambient_temperature_c
    from recording_order
    inner join batteries
        on recording_order.battery_id = batteries.battery_id
    cross join lateral ({{ held('recording_order', carried) }}) as held
    where recording_order.recording_type = 'discharge'

),

-- sample numbers, from 1: first and last under load, and the first of these below the cut-off, or
-- held at it while the current falls; a lone leap of the voltage is a fault of the sensor
bounded as (

    select
        numbered.*,
        bounds.load_on,
        bounds.load_off,
        bounds.cut_off,
        coalesce(bounds.cut_off, bounds.load_off) as last_sample,
        -- before the last one, what flows back after the load is part of the discharge
        coalesce(
            bounds.cut_off,
            case when numbered.is_last then bounds.load_off else cardinality(numbered.time_s) end
        ) as charge_off,
        bounds.leaps
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
            min(n) filter (
                where
                numbered.recorded_voltage_v[n] < numbered.cutoff_v * (1 + {{ var('held_share') }})
                and (
                    numbered.recorded_voltage_v[n] < numbered.cutoff_v
                    or (
                        abs(numbered.recorded_voltage_v[n + 1] / numbered.cutoff_v - 1)
                        < {{ var('held_share') }}
                        and numbered.current_a[n + 1] > threshold.load_a
                        and numbered.current_a[n + 1]
                        < numbered.current_a[n] * (1 - {{ var('held_share') }})
                    )
                )
                and not {{ is_leap('numbered') }}
            ) as cut_off,
            array_agg(n) filter (where {{ is_leap('numbered') }}) as leaps
        from generate_series(1, cardinality(numbered.current_a)) as numbers (n)
        where numbered.current_a[n] > threshold.load_a
    ) as bounds

),

-- what a leap hides is what the sample before it measured
mended as (

    select
        bounded.*,
        voltage.voltage_v
    from bounded
    cross join lateral (
        select
            case
                when bounded.leaps is null then bounded.recorded_voltage_v
                else array(
                    select
                        case
                            when n = any(bounded.leaps) then bounded.recorded_voltage_v[n - 1]
                            else bounded.recorded_voltage_v[n]
                        end
                    from generate_series(1, cardinality(bounded.time_s)) as numbers (n)
                    order by n
                )
            end as voltage_v
        from (values (true)) as once (is_once)
        offset 0
    ) as voltage

),

-- a gap is longer than all usual intervals; a sample before the first one begins the step
final as (

    select
        mended.*,
        sampling.gap_s,
        sampling.usual_s,
        sampling.usual_fall_v,
        case
            when
                mended.load_on = 1
                and mended.lead_in_s between 0 and coalesce(sampling.gap_s, sampling.longest_s)
                then mended.lead_in_s
            else 0
        end as lead_s
    from mended
    cross join lateral ({{ sampling('mended') }}) as sampling

)

select * from final
