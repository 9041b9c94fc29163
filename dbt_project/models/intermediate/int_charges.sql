with

recordings as (

    select * from {{ ref('int_recordings') }}
    {{ only_changed_batteries() }}

),

recording_order as (

    select * from {{ ref('int_recording_order') }}

),

charges as (

    select
        recordings.*,
        recording_order.discharge_index,
        cardinality(recordings.time_s) as samples
    from recordings
    inner join recording_order
        on
            recordings.battery_id = recording_order.battery_id
            and recordings.recording_index = recording_order.recording_index
    where recordings.recording_type = 'charge'

),

-- one pass over the trapezoids between charging samples; a NaN is kept, and shows in the sum
integrated as (

    select
        charges.battery_id,
        charges.discharge_index,
        charging.charge_as,
        charging.charge_on_s,
        coalesce(charging.limit_s, charging.charge_off_s) as limit_s,
        charging.charge_off_s
    from charges
    cross join lateral (
        select
            sum((t1 - t0) * (i1 + i0)) / -2 as charge_as,
            min(t0) as charge_on_s,
            min(t0) filter (where v0 between {{ var('charge_limit_v') }} and 5) as limit_s,
            max(t1) as charge_off_s
        from
            unnest(
                charges.time_s[2:charges.samples],
                charges.time_s[1:charges.samples - 1],
                charges.current_a[2:charges.samples],
                charges.current_a[1:charges.samples - 1],
                charges.voltage_v[1:charges.samples - 1]
            ) as samples (t1, t0, i1, i0, v0)
        where
            (i1 < -{{ var('charge_current_a') }} or i1 = 'NaN')
            and (i0 < -{{ var('charge_current_a') }} or i0 = 'NaN')
    ) as charging

),

-- two charges in a row are one; where a sample of it is missing, so is the charge
final as (

    select
        battery_id,
        discharge_index,
        sum(charge_as) / 3600 as charge_capacity_ah,
        sum(limit_s - charge_on_s) as cc_charge_time_s,
        sum(charge_off_s - limit_s) as cv_charge_time_s
    from integrated
    group by battery_id, discharge_index
    having sum(charge_as) < 'infinity'

)

select * from final
