with

aging as (

    select * from {{ ref('stg_aging__recordings') }}

),

randomized as (

    select * from {{ ref('stg_randomized__steps') }}

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

-- a randomized discharge is every discharge step of one activity between two charges
randomized_charges as (

    select
        *,
        count(*) filter (where recording_type = 'charge') over earlier as charges,
        lag(voltage_v[cardinality(voltage_v)]) over earlier as voltage_before_v
    from randomized
    window earlier as (partition by battery_id order by recording_index)

),

randomized_ordered as (

    select
        *,
        case
            when
                charges = lag(charges) over earlier
                and coalesce(activity, '') = coalesce(lag(activity) over earlier, '')
                then 0
            else 1
        end as is_first_step
    from randomized_charges
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
    from randomized_ordered

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
