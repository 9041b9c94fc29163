with

aging as (

    select * from {{ ref('stg_aging__recordings') }}

),

randomized as (

    select * from {{ ref('stg_randomized__steps') }}

),

tabular as (

    select * from {{ ref('stg_tabular__recordings') }}

),

-- an aging discharge is one recording; one before any charge starts from an unknown state
aging_ordered as (

    select
        *,
        count(*) filter (where recording_type = 'charge') over earlier > 0 as is_charge_recorded,
        count(*) filter (where recording_type = 'discharge') over earlier as discharge_index
    from aging
    window earlier as (partition by battery_id order by recording_index)

),

stepwise as (

    select
        battery_id,
        recording_index,
        recording_type,
        null::int as cycle_count,
        activity,
        started_at,
        time_s,
        voltage_v,
        current_a,
        temperature_c
    from randomized

    union all

    select
        battery_id,
        recording_index,
        recording_type,
        cycle_count,
        'cycling' as activity,
        started_at,
        time_s,
        voltage_v,
        current_a,
        temperature_c
    from tabular

),

-- any other is every discharge step of one activity, and one cycle, between two charges
stepwise_charges as (

    select
        *,
        count(*) filter (where recording_type = 'charge') over earlier as charges,
        lag(voltage_v[cardinality(voltage_v)]) over earlier as voltage_before_v
    from stepwise
    window earlier as (partition by battery_id order by recording_index)

),

stepwise_ordered as (

    select
        *,
        case
            when
                charges = lag(charges) over earlier
                and coalesce(activity, '') = coalesce(lag(activity) over earlier, '')
                and coalesce(cycle_count, -1) = coalesce(lag(cycle_count) over earlier, -1)
                then 0
            else 1
        end as is_first_step
    from stepwise_charges
    where recording_type = 'discharge'
    window earlier as (partition by battery_id order by recording_index)

),

united as (

    select
        battery_id,
        recording_index,
        discharge_index,
        'cycling' as activity,
        started_at,
        is_charge_recorded,
        null::float8 as voltage_before_v,
        coalesce(recorded_capacity_ah, 0) > 0 as is_capacity_recorded,
        time_s,
        voltage_v,
        current_a,
        temperature_c
    from aging_ordered
    where recording_type = 'discharge'

    union all

    select
        battery_id,
        recording_index,
        sum(is_first_step) over (
            partition by battery_id order by recording_index
        ) as discharge_index,
        activity,
        started_at,
        charges > 0 as is_charge_recorded,
        voltage_before_v,
        true as is_capacity_recorded,
        time_s,
        voltage_v,
        current_a,
        temperature_c
    from stepwise_ordered

)

select
    battery_id,
    recording_index,
    discharge_index::int as discharge_index,
    activity,
    started_at,
    is_charge_recorded,
    voltage_before_v,
    is_capacity_recorded,
    time_s,
    voltage_v,
    current_a,
    temperature_c
from united
