with

discharges as (

    select * from {{ ref('int_discharge_recordings') }}

),

-- trapezoids between neighbours; whole_ is the record to its last loaded sample, loaded_ from
-- load-on to the cut-off
integrated as (

    select
        discharges.*,
        trapezoids.*
    from discharges
    cross join lateral (
        select
            sum(dt * (i1 + i0)) / 2 as whole_charge_as,
            sum(dt * (i1 + i0)) filter (where n < charge_off) / 2 as charge_as,
            sum(dt * (i1 * v1 + i0 * v0)) filter (where n < charge_off) / 2 as energy_ws,
            sum(dt * (i1 + i0)) filter (where n between load_on and last_sample - 1)
            / 2 as loaded_charge_as,
            sum(dt * (v1 + v0)) filter (where n between load_on and last_sample - 1)
            / 2 as voltage_vs,
            sum(dt) filter (where n between load_on and last_sample - 1) as loaded_s,
            min(least(v1, v0)) filter (where n >= load_on and n < load_off) as min_voltage_v,
            sum(t1 - t0 - dt) filter (
                where discharges.gap_s is not null and n between load_on and last_sample - 1
            ) as skipped_s,
            coalesce(
                bool_or(t1 - t0 > discharges.gap_s) filter (
                    where n between load_on and last_sample - 1
                ), false
            ) as has_gap,
            -- what it falls by over the intervals beside a gap was not lost in it
            coalesce(
                bool_or(
                    v0 - v1 - greatest(
                        discharges.voltage_v[n - 1] - v0, v1 - discharges.voltage_v[n + 2], 0
                    ) > {{ var('gap_factor') }} * discharges.usual_fall_v
                ) filter (
                    where
                    n between load_on and last_sample - 1
                    and t1 - t0 > discharges.gap_s
                    and abs(i1 - i0) <= {{ var('same_load_share') }} * i0
                ), false
            ) as has_lost_charge
        from (
            select
                *,
                {{ counted('discharges') }} as dt
            from {{ steps('discharges') }}
            where n < greatest(discharges.load_off, discharges.charge_off)
        ) as samples
    ) as trapezoids

),

-- what flowed from the start of the step to the first sample, where the load was on from the start
final as (

    select
        battery_id,
        discharge_index,
        recording_index,
        activity,
        started_at,
        ambient_temperature_c,
        rated_capacity_ah,
        cutoff_v,
        full_charge_v,
        size_a,
        is_charge_recorded,
        is_capacity_recorded,
        is_out_of_order,
        is_undated,
        recorded_capacity_ah,
        counted_ah,
        temperature_c is not null as has_sensor,
        cut_off is not null as is_cut_off_reached,
        last_sample - load_on + 1 as samples,
        voltage_v[load_on] as voltage_at_load_on_v,
        case when load_on > 1 then voltage_v[load_on - 1] else voltage_before_v end
            as rest_voltage_v,
        current_a[load_on] - case when load_on > 1 then current_a[load_on - 1] else 0 end
            as step_a,
        voltage_v[last_sample] as last_voltage_v,
        shift_s + time_s[load_on] - lead_s as load_on_s,
        shift_s + time_s[last_sample] as load_off_s,
        whole_charge_as + lead_s * current_a[1] as whole_charge_as,
        charge_as + lead_s * current_a[1] as charge_as,
        energy_ws + lead_s * current_a[1] * voltage_v[1] as energy_ws,
        loaded_charge_as + lead_s * current_a[1] as loaded_charge_as,
        voltage_vs + lead_s * voltage_v[1] as voltage_vs,
        loaded_s + lead_s as loaded_s,
        coalesce(skipped_s, 0) as skipped_s,
        has_gap,
        has_lost_charge,
        min_voltage_v,
        {{ sensible('temperature_c[load_on]') }} as temperature_at_load_on_c,
        (
            select max({{ sensible('temperature') }})
            from (
                select
                    temperature,
                    temperature - lag(temperature) over (order by n) as rise_c,
                    temperature - lead(temperature) over (order by n) as fall_c
                from
                    unnest(temperature_c[load_on:last_sample])
                    with ordinality as samples (temperature, n)
            ) as beside
            where least(rise_c, fall_c) > {{ var('leap_c') }} is not true
        ) as max_temperature_c
    from integrated

)

select * from final
