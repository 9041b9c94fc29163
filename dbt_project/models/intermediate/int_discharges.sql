with

parts as (

    select * from {{ ref('int_discharge_parts') }}

),

batteries as (

    select * from {{ ref('int_batteries') }}

),

-- a discharge of several steps ends with the first step that reaches the cut-off
numbered as (

    select
        *,
        count(*) filter (where is_cut_off_reached) over (
            partition by battery_id, discharge_index
            order by recording_index
            rows between unbounded preceding and 1 preceding
        ) as cut_offs_before
    from parts

),

summed as (

    select
        battery_id,
        discharge_index,
        min(recording_index) as recording_index,
        min(activity) as activity,
        min(started_at) as started_at,
        bool_and(is_charge_recorded) as is_charge_recorded,
        bool_and(is_capacity_recorded) as is_capacity_recorded,
        coalesce(sum(samples), 0)::int as samples,
        (array_agg(rest_voltage_v order by recording_index))[1] as rest_voltage_v,
        min(last_voltage_v) as last_voltage_v,
        sum(charge_as) / 3600 as discharge_capacity_ah,
        max(max_temperature_c) as max_temperature_c,
        sum(voltage_vs) / nullif(sum(loaded_s), 0) as avg_voltage_load_v,
        max(load_off_s) - min(load_on_s) as time_to_discharge_s
    from numbered
    where cut_offs_before = 0
    group by battery_id, discharge_index

),

judged as (

    select
        summed.*,
        summed.discharge_capacity_ah / batteries.rated_capacity_ah as soh,
        case
            when summed.activity is null then 'unknown_step'
            when summed.activity = 'characterisation' then 'characterisation'
            when summed.samples = 0 then 'no_load'
            when summed.samples < {{ var('minimum_samples') }} then 'too_few_samples'
            when
                'NaN' in (
                    summed.discharge_capacity_ah,
                    summed.avg_voltage_load_v,
                    summed.time_to_discharge_s
                )
                then 'not_finite'
            when summed.max_temperature_c is null then 'no_temperature'
            when summed.rest_voltage_v < batteries.full_charge_v then 'not_fully_charged'
            when not summed.is_capacity_recorded then 'no_capacity'
            when
                summed.discharge_capacity_ah / batteries.rated_capacity_ah
                not between {{ var('minimum_soh') }} and {{ var('maximum_soh') }}
                then 'implausible_capacity'
        end as fault,
        case
            when summed.activity = 'random walk' then 'kept_random_walk'
            when not summed.is_charge_recorded then 'kept_charge_not_recorded'
            when
                summed.last_voltage_v > batteries.cutoff_v + {{ var('cutoff_tolerance_v') }}
                then 'kept_stopped_above_cut_off'
            else 'kept'
        end as merit
    from summed
    inner join batteries
        on summed.battery_id = batteries.battery_id

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
        max_temperature_c,
        avg_voltage_load_v,
        time_to_discharge_s,
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
