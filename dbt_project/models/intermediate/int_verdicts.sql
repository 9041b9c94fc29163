with

discharges as (

    select * from {{ ref('int_discharges') }}

),

rules as (

    select * from {{ ref('quality_rule') }}

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
            when not is_charge_recorded then 'kept_charge_not_recorded'
            when
                last_voltage_v > cutoff_v * (1 + {{ var('cutoff_tolerance') }})
                then 'kept_stopped_above_cut_off'
            when has_lost_charge then 'kept_charge_lost_in_a_gap'
            when is_out_of_order then 'kept_out_of_time_order'
            when is_undated then 'kept_without_a_date'
            when has_sensor and max_temperature_c is null then 'no_temperature'
            when has_gap then 'kept_across_a_gap'
            else 'kept'
        end as merit
    from discharges

),

final as (

    select
        judged.*,
        fault is null as is_usable,
        coalesce(fault, merit) as reason,
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
