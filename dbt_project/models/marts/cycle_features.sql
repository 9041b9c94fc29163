with

cycles as (

    select * from {{ ref('cycle_series') }}

),

-- one by one: of functions that give several at once Citus passes on only what is immutable
final as (

    select
        battery_id,
        cycle_index,
        soh_target,
        {% for feature in [
            "discharge_capacity", "max_temperature", "avg_voltage_load", "time_to_discharge",
            "avg_current_load", "min_voltage", "discharge_energy", "temperature_rise",
            "ambient_temperature", "voltage_at_load_on", "ohmic_resistance",
            "internal_resistance", "charge_transfer_resistance", "charge_capacity",
            "cc_charge_time", "cv_charge_time", "rest_hours", "rest_after_hours",
            "rest_before_hours", "throughput_ah", "equivalent_full_cycles",
        ] -%}
            (features ->> '{{ feature }}')::float8 as {{ feature }},
        {% endfor -%}
        (features ->> 'operating_point')::int as operating_point,
        (features ->> 'capacity_retention')::float8 as capacity_retention,
        (features ->> 'cycles_at_operating_point')::int as cycles_at_operating_point
    from cycles

)

select * from final
