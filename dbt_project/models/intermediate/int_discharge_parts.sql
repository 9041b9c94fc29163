with

recordings as (

    select * from {{ ref('int_discharge_recordings') }}

),

batteries as (

    select * from {{ ref('int_batteries') }}

),

-- sample numbers, from 1: first and last under load, and the first of these below the cut-off
bounded as (

    select
        recordings.*,
        batteries.cutoff_v,
        bounds.load_on,
        bounds.cut_off,
        coalesce(bounds.cut_off, bounds.load_off) as last_sample
    from recordings
    inner join batteries
        on recordings.battery_id = batteries.battery_id
    cross join lateral (
        select
            min(samples.i) as load_on,
            max(samples.i) as load_off,
            min(samples.i) filter (where samples.voltage_v < batteries.cutoff_v) as cut_off
        from
            unnest(recordings.current_a, recordings.voltage_v)
            with ordinality as samples (current_a, voltage_v, i)
        where samples.current_a > {{ var('load_current_a') }}
    ) as bounds

),

-- trapezoids between neighbours: the arrays against themselves, shifted by one sample
integrated as (

    select
        bounded.*,
        trapezoids.charge_as,
        trapezoids.voltage_vs,
        trapezoids.loaded_s
    from bounded
    cross join lateral (
        select
            sum((t1 - t0) * (i1 + i0)) / 2 as charge_as,
            sum((t1 - t0) * (v1 + v0)) filter (where n >= bounded.load_on) / 2 as voltage_vs,
            sum(t1 - t0) filter (where n >= bounded.load_on) as loaded_s
        from
            unnest(
                bounded.time_s[2:bounded.last_sample],
                bounded.time_s[1:bounded.last_sample - 1],
                bounded.current_a[2:bounded.last_sample],
                bounded.current_a[1:bounded.last_sample - 1],
                bounded.voltage_v[2:bounded.last_sample],
                bounded.voltage_v[1:bounded.last_sample - 1]
            ) with ordinality as samples (t1, t0, i1, i0, v1, v0, n)
    ) as trapezoids

),

final as (

    select
        battery_id,
        discharge_index,
        recording_index,
        activity,
        started_at,
        is_charge_recorded,
        is_capacity_recorded,
        cut_off is not null as is_cut_off_reached,
        last_sample - load_on + 1 as samples,
        case
            when load_on > 1 then voltage_v[load_on - 1]
            else voltage_before_v
        end as rest_voltage_v,
        voltage_v[last_sample] as last_voltage_v,
        time_s[load_on] as load_on_s,
        time_s[last_sample] as load_off_s,
        charge_as,
        voltage_vs,
        loaded_s,
        (
            select max(temperature)
            from unnest(temperature_c[load_on:last_sample]) as samples (temperature)
            -- a sensor that reads further out than this is broken, not hot or cold
            where temperature between -60 and 150
        ) as max_temperature_c
    from integrated

)

select * from final
