with

cycles as (

    select * from {{ ref('int_cycles') }}
    {{ only_changed_discharges() }}

),

final as (

    select
        {{ battery_key('battery_id') }} as battery_id,
        cycle_index,
        jsonb_build_object(
            'discharge_capacity', discharge_capacity_ah,
            'max_temperature', max_temperature_c,
            'avg_voltage_load', avg_voltage_load_v,
            'time_to_discharge', time_to_discharge_s,
            'avg_current_load', avg_current_load_a,
            'min_voltage', min_voltage_v,
            'discharge_energy', discharge_energy_wh,
            'temperature_rise', temperature_rise_c,
            'ambient_temperature', ambient_temperature_c,
            'voltage_at_load_on', voltage_at_load_on_v,
            'ohmic_resistance', ohmic_resistance_ohm,
            'internal_resistance', internal_resistance_ohm,
            'charge_transfer_resistance', charge_transfer_resistance_ohm,
            'charge_capacity', charge_capacity_ah,
            'cc_charge_time', cc_charge_time_s,
            'cv_charge_time', cv_charge_time_s,
            'rest_hours', rest_hours,
            'rest_after_hours', rest_after_hours,
            'rest_before_hours', rest_before_hours,
            'throughput_ah', throughput_ah,
            'equivalent_full_cycles', equivalent_full_cycles,
            'operating_point', operating_point,
            'capacity_retention', capacity_retention,
            'cycles_at_operating_point', cycles_at_operating_point
        ) as features,
        soh_target
    from cycles

)

select * from final
