with

discharges as (

    select * from {{ ref('int_discharges') }}

),

operating_points as (

    select * from {{ ref('int_operating_points') }}

),

charges as (

    select * from {{ ref('int_charges') }}

),

rules as (

    select * from {{ ref('quality_rule') }}

),

-- what is known of a discharge's past when it ends
placed as (

    select
        discharges.*,
        operating_points.like_discharge,
        charges.charge_capacity_ah,
        lag(discharges.discharge_index) over earlier as discharge_before,
        lag(discharges.discharged_ah) over earlier as discharged_before_ah,
        -- more than a cell holds was put in by an overcharge, and is not put in again
        coalesce(
            lag(discharges.discharge_capacity_ah) over earlier
            > {{ var('maximum_soh') }} * discharges.rated_capacity_ah,
            false
        ) as is_overcharged_before,
        charges.end_voltage_v < {{ var('fully_charged_share') }} * max(charges.end_voltage_v) over (
            earlier
            rows between unbounded preceding and 1 preceding
        ) as is_charged_in_part,
        operating_points.like_discharges >= {{ var('minimum_contact_discharges') }}
        and discharges.rest_voltage_v - discharges.voltage_at_load_on_v
        > operating_points.usual_fall_v + {{ var('contact_fall_share') }} * discharges.cutoff_v
        and discharges.discharge_capacity_ah
        < {{ var('contact_capacity_share') }} * operating_points.usual_capacity_ah
            as has_lost_contact
    from discharges
    left join operating_points
        on
            discharges.battery_id = operating_points.battery_id
            and discharges.discharge_index = operating_points.discharge_index
    left join charges
        on
            discharges.battery_id = charges.battery_id
            and discharges.discharge_index = charges.discharge_index
    window earlier as (partition by discharges.battery_id order by discharges.discharge_index)

),

-- the first rule that applies decides
judged as (

    select
        *,
        discharge_capacity_ah / rated_capacity_ah as soh,
        case
            when activity is null then 'unknown_step'
            when activity = 'characterisation' then 'characterisation'
            when samples = 0 then 'no_load'
            when samples < {{ var('minimum_samples') }} then 'too_few_samples'
            when
                'NaN' in (discharge_capacity_ah, avg_voltage_load_v, time_to_discharge_s)
                then 'not_finite'
            when rest_voltage_v < full_charge_v then 'not_fully_charged'
            when not is_capacity_recorded then 'no_capacity'
            when
                discharge_capacity_ah / rated_capacity_ah
                not between {{ var('minimum_soh') }} and {{ var('maximum_soh') }}
                then 'implausible_capacity'
        end as fault,
        case
            when activity = 'random walk' then 'kept_random_walk'
            when
                not is_charge_recorded
                or (discharge_before is null and coalesce(charge_capacity_ah, 0) <= 0)
                then 'kept_charge_not_recorded'
            when
                is_charged_in_part
                or (
                    not is_overcharged_before
                    and charge_capacity_ah < {{ var('recharged_share') }} * discharged_before_ah
                )
                then 'kept_not_recharged'
            when
                last_voltage_v > cutoff_v * (1 + {{ var('cutoff_tolerance') }})
                then 'kept_stopped_above_cut_off'
            when has_lost_contact then 'kept_contact_lost'
            when has_lost_charge then 'kept_charge_lost_in_a_gap'
            when
                abs(discharged_ah / nullif(counted_ah, 0) - 1) > {{ var('counted_share') }}
                then 'kept_unlike_the_counter'
            when is_out_of_order then 'kept_out_of_time_order'
            when is_undated then 'kept_without_a_date'
            when has_sensor and max_temperature_c is null then 'no_temperature'
            when has_gap then 'kept_across_a_gap'
            else 'kept'
        end as merit
    from placed

),

final as (

    select
        judged.*,
        fault is null as is_usable,
        coalesce(fault, merit) as reason,
        rules.has_ground_truth,
        case when rules.has_ground_truth then soh end as soh_target,
        -- NASA counts down to the cut-off, a cycler whole records
        coalesce(recorded_capacity_ah, counted_ah) as stated_capacity_ah,
        case
            when recorded_capacity_ah > 0 then discharge_capacity_ah / recorded_capacity_ah - 1
            when counted_ah > 0 then discharged_ah / counted_ah - 1
        end as capacity_deviation,
        case
            when fault is null
                then
                    count(*) filter (where fault is null) over (
                        partition by battery_id order by discharge_index
                    )::int
        end as cycle_index
    from judged
    inner join rules
        on coalesce(judged.fault, judged.merit) = rules.reason

)

select * from final
