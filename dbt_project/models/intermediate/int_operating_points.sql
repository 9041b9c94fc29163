{%- set changed = batteries_to_build() -%}
with

discharges as (

    select * from {{ ref('int_discharges') }}
    {{ only_changed_discharges(changed) }}

),

-- looked up by index, one discharge at a time
known as not materialized (

    select * from {{ ref('int_discharges') }}
    {{ only_changed_batteries(changed=changed) }}

),

-- discharges are of one operating point where the earliest that they can be compared with is the
-- same: each finds it alone, and what comes later changes nothing
final as (

    select
        discharges.battery_id,
        discharges.discharge_index,
        (
            select known.discharge_index
            from known
            where
                known.battery_id = discharges.battery_id
                and known.discharge_index <= discharges.discharge_index
                and {{ is_alike('known', 'discharges') }}
            order by known.discharge_index
            limit 1
        ) as like_discharge,
        past.discharges as like_discharges,
        past.fall_v as usual_fall_v,
        past.capacity_ah as usual_capacity_ah
    from discharges
    cross join lateral (
        select
            count(*) as discharges,
            percentile_cont(0.5) within group (order by lately.fall_v) as fall_v,
            percentile_cont(0.5) within group (order by lately.discharge_capacity_ah) as capacity_ah
        from (
            select
                known.discharge_capacity_ah,
                known.rest_voltage_v - known.voltage_at_load_on_v as fall_v
            from known
            where
                known.battery_id = discharges.battery_id
                and known.discharge_index < discharges.discharge_index
                and known.rest_voltage_v - known.voltage_at_load_on_v < 'infinity'
                and known.samples >= {{ var('minimum_samples') }}
                and {{ is_alike('known', 'discharges') }}
            order by known.discharge_index desc
            limit {{ var('contact_discharges') }}
        ) as lately
    ) as past

)

select * from final
