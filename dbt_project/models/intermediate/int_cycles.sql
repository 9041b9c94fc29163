with

verdicts as (

    select * from {{ ref('int_verdicts') }}

),

discharges as (

    select * from {{ ref('int_discharges') }}

),

charges as (

    select * from {{ ref('int_charges') }}

),

rests as (

    select * from {{ ref('int_rests') }}

),

impedances as (

    select * from {{ ref('stg_aging__impedances') }}

),

batteries as (

    select * from {{ ref('int_batteries') }}

),

-- what passed through the battery in discharges left out counts too, where it is a number
aged as (

    select
        *,
        sum({{ finite('discharged_ah') }}) over (
            partition by battery_id order by discharge_index
        ) as throughput_ah
    from discharges

),

final as (

    select
        verdicts.battery_id,
        verdicts.cycle_index,
        verdicts.soh_target,
        aged.discharge_capacity_ah,
        aged.max_temperature_c,
        aged.avg_voltage_load_v,
        aged.time_to_discharge_s,
        {{ finite('aged.avg_current_load_a') }} as avg_current_load_a,
        {{ finite('aged.min_voltage_v') }} as min_voltage_v,
        {{ finite('aged.discharge_energy_wh') }} as discharge_energy_wh,
        aged.temperature_rise_c,
        coalesce(
            {{ finite('aged.ambient_temperature_c') }}, batteries.ambient_temperature_c
        ) as ambient_temperature_c,
        {{ finite('aged.voltage_at_load_on_v') }} as voltage_at_load_on_v,
        {{ plausible('aged.ohmic_resistance_ohm') }} as ohmic_resistance_ohm,
        impedance.internal_resistance_ohm,
        impedance.charge_transfer_resistance_ohm,
        charges.charge_capacity_ah,
        charges.cc_charge_time_s,
        charges.cv_charge_time_s,
        rests.rest_hours,
        rests.rest_after_hours,
        rests.rest_before_hours,
        aged.throughput_ah,
        aged.throughput_ah / batteries.rated_capacity_ah as equivalent_full_cycles
    from verdicts
    inner join aged
        on
            verdicts.battery_id = aged.battery_id
            and verdicts.discharge_index = aged.discharge_index
    inner join batteries
        on verdicts.battery_id = batteries.battery_id
    left join charges
        on
            verdicts.battery_id = charges.battery_id
            and verdicts.discharge_index = charges.discharge_index
    left join rests
        on
            verdicts.battery_id = rests.battery_id
            and verdicts.discharge_index = rests.discharge_index
    left join lateral (
        select
            impedances.internal_resistance_ohm,
            impedances.charge_transfer_resistance_ohm
        from impedances
        where
            impedances.battery_id = verdicts.battery_id
            and impedances.recording_index < verdicts.recording_index
            and impedances.is_plausible
        order by impedances.recording_index desc
        limit 1
    ) as impedance on true
    where verdicts.is_usable

)

select * from final
