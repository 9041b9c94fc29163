with

cycles as (

    select * from {{ ref('cycle_series') }}

),

final as (

    select
        cycles.battery_id,
        cycles.cycle_index,
        cycles.soh_target,
        features.discharge_capacity,
        features.max_temperature,
        features.avg_voltage_load,
        features.time_to_discharge
    from cycles
    cross join
        jsonb_to_record(cycles.features) as features (
            discharge_capacity float8,
            max_temperature float8,
            avg_voltage_load float8,
            time_to_discharge float8
        )

)

select * from final
