with

discharges as (

    select * from {{ ref('int_discharges') }}

),

final as (

    select
        battery_id::varchar as battery_id,
        cycle_index,
        jsonb_build_object(
            'discharge_capacity', discharge_capacity_ah,
            'max_temperature', max_temperature_c,
            'avg_voltage_load', avg_voltage_load_v,
            'time_to_discharge', time_to_discharge_s
        ) as features,
        soh_target
    from discharges
    where is_usable

)

select * from final
