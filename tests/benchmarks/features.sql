-- DuckDB's answer to int_charges and int_discharge_parts: the same aggregates on the same arrays.
with

pairs as (

    select
        recording,
        kind,
        unnest(t[2:]) as t1,
        unnest(t[1:len(t) - 1]) as t0,
        unnest(i[2:]) as i1,
        unnest(i[1:len(i) - 1]) as i0,
        unnest(v[2:]) as v1,
        unnest(v[1:len(v) - 1]) as v0,
        unnest(c[2:]) as c1
    from arrays

),

charges as (

    select
        recording,
        sum((t1 - t0) * (i1 + i0)) / -2 as charge_as,
        min(t0) as charge_on_s,
        min(t0) filter (where v0 between 4.19 and 5) as limit_s,
        max(t1) as charge_off_s
    from pairs
    where kind = 'charge' and i1 < -0.02 and i0 < -0.02
    group by recording

),

bounds as (

    select
        recording,
        min(t1) filter (where i1 > 0.1) as on_s,
        max(t1) filter (where i1 > 0.1) as off_s,
        coalesce(min(t1) filter (where i1 > 0.1 and v1 < 2.7), off_s) as last_s
    from pairs
    where kind = 'discharge'
    group by recording

),

discharges as (

    select
        recording,
        sum((t1 - t0) * (i1 + i0)) / 2 as whole_charge_as,
        sum((t1 - t0) * (i1 + i0)) filter (where t1 <= last_s) / 2 as charge_as,
        sum((t1 - t0) * (i1 * v1 + i0 * v0)) filter (where t1 <= last_s) / 2 as energy_ws,
        sum((t1 - t0) * (i1 + i0)) filter (where t0 >= on_s and t1 <= last_s) / 2 as loaded_charge_as,
        sum((t1 - t0) * (v1 + v0)) filter (where t0 >= on_s and t1 <= last_s) / 2 as voltage_vs,
        sum(t1 - t0) filter (where t0 >= on_s and t1 <= last_s) as loaded_s,
        min(least(v1, v0)) filter (where t0 >= on_s) as min_voltage_v,
        max(c1) filter (where t1 between on_s and last_s) as max_temperature_c
    from pairs
    inner join bounds using (recording)
    where kind = 'discharge' and t1 <= off_s
    group by recording

)

select (select sum(charge_as) from charges), (select sum(charge_as) from discharges)
