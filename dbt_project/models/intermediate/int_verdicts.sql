with

discharges as (

    select * from {{ ref('int_discharges') }}

),

batteries as (

    select * from {{ ref('int_batteries') }}

),

-- the first rule that applies decides
judged as (

    select
        discharges.*,
        discharges.discharge_capacity_ah / batteries.rated_capacity_ah as soh,
        case
            when discharges.activity is null then 'unknown_step'
            when discharges.activity = 'characterisation' then 'characterisation'
            when discharges.samples = 0 then 'no_load'
            when discharges.samples < {{ var('minimum_samples') }} then 'too_few_samples'
            when
                'NaN' in (
                    discharges.discharge_capacity_ah,
                    discharges.avg_voltage_load_v,
                    discharges.time_to_discharge_s
                )
                then 'not_finite'
            when discharges.max_temperature_c is null then 'no_temperature'
            when discharges.rest_voltage_v < batteries.full_charge_v then 'not_fully_charged'
            when not discharges.is_capacity_recorded then 'no_capacity'
            when
                discharges.discharge_capacity_ah / batteries.rated_capacity_ah
                not between {{ var('minimum_soh') }} and {{ var('maximum_soh') }}
                then 'implausible_capacity'
        end as fault,
        case
            when discharges.activity = 'random walk' then 'kept_random_walk'
            when not discharges.is_charge_recorded then 'kept_charge_not_recorded'
            when
                discharges.last_voltage_v > batteries.cutoff_v + {{ var('cutoff_tolerance_v') }}
                then 'kept_stopped_above_cut_off'
            else 'kept'
        end as merit
    from discharges
    inner join batteries
        on discharges.battery_id = batteries.battery_id

),

final as (

    select
        battery_id,
        discharge_index,
        recording_index,
        activity,
        started_at,
        samples,
        discharge_capacity_ah,
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
