with

discharges as (

    select * from {{ ref('int_discharges') }}

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
            when max_temperature_c is null then 'no_temperature'
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
                last_voltage_v > cutoff_v + {{ var('cutoff_tolerance_v') }}
                then 'kept_stopped_above_cut_off'
            else 'kept'
        end as merit
    from discharges

),

final as (

    select
        *,
        fault is null as is_usable,
        coalesce(fault, merit) as reason,
        case when fault is null and merit = 'kept' then soh end as soh_target,
        case
            when fault is null
                then
                    count(*) filter (where fault is null) over (
                        partition by battery_id order by discharge_index
                    )::int
        end as cycle_index
    from judged

)

select * from final
