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
        features.time_to_discharge,
        features.avg_current_load,
        features.min_voltage,
        features.discharge_energy,
        features.temperature_rise,
        features.ambient_temperature,
        features.voltage_at_load_on,
        features.ohmic_resistance,
        features.internal_resistance,
        features.charge_transfer_resistance,
        features.charge_capacity,
        features.cc_charge_time,
        features.cv_charge_time,
        features.rest_hours,
        features.rest_after_hours,
        features.rest_before_hours,
        features.throughput_ah,
        features.equivalent_full_cycles,
        features.operating_point,
        features.capacity_retention,
        features.cycles_at_operating_point
    from cycles
    cross join
        jsonb_to_record(cycles.features) as features (
            discharge_capacity float8,
            max_temperature float8,
            avg_voltage_load float8,
            time_to_discharge float8,
            avg_current_load float8,
            min_voltage float8,
            discharge_energy float8,
            temperature_rise float8,
            ambient_temperature float8,
            voltage_at_load_on float8,
            ohmic_resistance float8,
            internal_resistance float8,
            charge_transfer_resistance float8,
            charge_capacity float8,
            cc_charge_time float8,
            cv_charge_time float8,
            rest_hours float8,
            rest_after_hours float8,
            rest_before_hours float8,
            throughput_ah float8,
            equivalent_full_cycles float8,
            operating_point int,
            capacity_retention float8,
            cycles_at_operating_point int
        )

)

select * from final
