with

verdicts as (

    select * from {{ ref('int_verdicts') }}

),

charges as (

    select * from {{ ref('int_charges') }}

),

rests as (

    select * from {{ ref('int_rests') }}

),

retention as (

    select * from {{ ref('int_retention') }}

),

impedances as (

    select * from {{ ref('stg_aging__impedances') }}

),

-- each test that can be believed holds until the next
lasting as (

    select
        *,
        lead(recording_index) over (
            partition by battery_id order by recording_index
        ) as next_index
    from impedances
    where is_plausible

),

-- what passed through the battery in discharges left out counts too, where it is a number
aged as (

    select
        *,
        sum({{ finite('discharged_ah') }}) over (
            partition by battery_id order by discharge_index
        ) as throughput_ah
    from verdicts

),

final as (

    select
        aged.battery_id,
        aged.discharge_index,
        aged.cycle_index,
        aged.soh_target,
        aged.discharge_capacity_ah,
        aged.max_temperature_c,
        aged.avg_voltage_load_v,
        aged.time_to_discharge_s,
        {{ finite('aged.avg_current_load_a') }} as avg_current_load_a,
        {{ finite('aged.min_voltage_v') }} as min_voltage_v,
        {{ finite('aged.discharge_energy_wh') }} as discharge_energy_wh,
        aged.temperature_rise_c,
        aged.ambient_temperature_c,
        {{ finite('aged.voltage_at_load_on_v') }} as voltage_at_load_on_v,
        {{ plausible('aged.ohmic_resistance_ohm', 'aged.size_a') }} as ohmic_resistance_ohm,
        impedance.internal_resistance_ohm,
        impedance.charge_transfer_resistance_ohm,
        charges.charge_capacity_ah,
        charges.cc_charge_time_s,
        charges.cv_charge_time_s,
        rests.rest_hours,
        rests.rest_after_hours,
        rests.rest_before_hours,
        aged.throughput_ah,
        aged.throughput_ah / aged.rated_capacity_ah as equivalent_full_cycles,
        retention.operating_point,
        retention.cycles_at_operating_point,
        retention.capacity_retention
    from aged
    left join charges
        on
            aged.battery_id = charges.battery_id
            and aged.discharge_index = charges.discharge_index
    left join rests
        on
            aged.battery_id = rests.battery_id
            and aged.discharge_index = rests.discharge_index
    left join retention
        on
            aged.battery_id = retention.battery_id
            and aged.discharge_index = retention.discharge_index
    left join lasting as impedance
        on
            aged.battery_id = impedance.battery_id
            and aged.recording_index > impedance.recording_index
            and aged.recording_index <= coalesce(impedance.next_index, aged.recording_index)
    where aged.is_usable

)

select * from final
