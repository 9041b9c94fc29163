{%- set changed = batteries_to_build() -%}
with

-- in each fenced query by name too: so a cluster asks only the shard where a battery lies
recordings as (

    select * from {{ ref('int_recordings') }}
    {{ only_changed_batteries(changed=changed) }}

),

batteries as (

    select * from {{ ref('int_batteries') }}

),

recording_order as (

    select * from {{ ref('int_recording_order') }}
    {{ only_changed_discharges(changed) }}

),

charges as (

    select
        recording_order.battery_id,
        recording_order.discharge_index,
        -{{ var('rest_c_rate') }} * batteries.size_a as charging_a,
        {{ var('charge_limit_share') }} * batteries.charge_limit_v as limit_v,
        batteries.charge_limit_v,
        {{ var('charge_limit_fault') }} * batteries.charge_limit_v as fault_v,
        held.*,
        sampling.gap_s,
        sampling.usual_s,
        case
            when recording_order.lead_in_s <= coalesce(sampling.gap_s, sampling.longest_s)
                then recording_order.lead_in_s
        end as lead_s
    from recording_order
    inner join batteries
        on recording_order.battery_id = batteries.battery_id
    cross join lateral ({{ held('recording_order', []) }}) as held
    cross join lateral ({{ sampling('held') }}) as sampling
    where recording_order.recording_type = 'charge'

),

-- one pass over the trapezoids between charging samples; a NaN is kept, and shows in the sum
integrated as (

    select
        charges.battery_id,
        charges.discharge_index,
        charging.charge_as - lead.lead_s * charges.current_a[1] as charge_as,
        charging.charge_on_s - lead.lead_s as charge_on_s,
        -- what comes before a first sample at the limit was held there, too
        case
            when charging.limit_s = charging.charge_on_s then charging.limit_s - lead.lead_s
            else coalesce(charging.limit_s, charging.charge_off_s)
        end as limit_s,
        charging.charge_off_s,
        charging.skipped_s,
        least(
            charges.voltage_v[charging.last_interval], charges.charge_limit_v
        ) as end_voltage_v
    from charges
    cross join
        lateral (
            select
                sum(dt * (i1 + i0)) / -2 as charge_as,
                min(t0) as charge_on_s,
                min(t0) filter (where v0 between charges.limit_v and charges.fault_v) as limit_s,
                max(t1) as charge_off_s,
                max(n) as last_interval,
                coalesce(sum(t1 - t0 - dt) filter (where charges.gap_s is not null), 0) as skipped_s
            from (
                select
                    *,
                    {{ counted('charges') }} as dt
                from {{ steps('charges') }}
            ) as samples
            where
                (i1 < charges.charging_a or i1 = 'NaN')
                and (i0 < charges.charging_a or i0 = 'NaN')
        ) as charging
    cross join lateral (
        select
            case
                when charging.charge_on_s = charges.time_s[1] and charges.lead_s >= 0
                    then charges.lead_s
                else 0
            end as lead_s
    ) as lead

),

-- two charges in a row are one; where a sample of it is missing, so is the charge
final as (

    select
        battery_id,
        discharge_index,
        sum(charge_as) / 3600 as charge_capacity_ah,
        sum(limit_s - charge_on_s) - sum(skipped_s) as cc_charge_time_s,
        sum(charge_off_s - limit_s) as cv_charge_time_s,
        max(end_voltage_v) as end_voltage_v
    from integrated
    group by battery_id, discharge_index
    having sum(charge_as) < 'infinity'

)

select * from final
