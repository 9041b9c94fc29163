with

parts as (

    select * from {{ ref('int_discharge_parts') }}
    {{ only_changed_discharges() }}

),

-- a discharge of several steps ends with the first step that reaches the cut-off
numbered as (

    select
        *,
        sum(whole_charge_as) over discharge as discharged_as,
        sum(counted_ah) over discharge as counted_of_all_ah,
        count(*) filter (where is_cut_off_reached) over (
            discharge
            order by recording_index
            rows between unbounded preceding and 1 preceding
        ) as cut_offs_before
    from parts
    window discharge as (partition by battery_id, discharge_index)

),

summed as (

    select
        battery_id,
        discharge_index,
        min(recording_index) as recording_index,
        min(activity) as activity,
        min(started_at) as started_at,
        min(ambient_temperature_c) as ambient_temperature_c,
        min(rated_capacity_ah) as rated_capacity_ah,
        min(cutoff_v) as cutoff_v,
        min(full_charge_v) as full_charge_v,
        min(size_a) as size_a,
        bool_and(is_charge_recorded) as is_charge_recorded,
        bool_and(is_capacity_recorded) as is_capacity_recorded,
        {{ first('is_out_of_order') }} as is_out_of_order,
        {{ first('is_undated') }} as is_undated,
        bool_or(has_sensor) as has_sensor,
        bool_or(has_gap) as has_gap,
        bool_or(has_lost_charge) as has_lost_charge,
        {{ finite('sum(recorded_capacity_ah)') }} as recorded_capacity_ah,
        min(counted_of_all_ah) as counted_ah,
        coalesce(sum(samples), 0)::int as samples,
        {{ first('rest_voltage_v') }} as rest_voltage_v,
        {{ first('voltage_at_load_on_v') }} as voltage_at_load_on_v,
        {{ first('step_a') }} as step_a,
        {{ first('temperature_at_load_on_c') }} as temperature_at_load_on_c,
        min(last_voltage_v) as last_voltage_v,
        min(discharged_as) / 3600 as discharged_ah,
        sum(charge_as) / 3600 as discharge_capacity_ah,
        sum(energy_ws) / 3600 as discharge_energy_wh,
        max(max_temperature_c) as max_temperature_c,
        min(min_voltage_v) as min_voltage_v,
        sum(voltage_vs) / nullif(sum(loaded_s), 0) as avg_voltage_load_v,
        sum(loaded_charge_as) / nullif(sum(loaded_s), 0) as avg_current_load_a,
        max(load_off_s) - min(load_on_s) - sum(skipped_s) as time_to_discharge_s
    from numbered
    where cut_offs_before = 0
    group by battery_id, discharge_index

),

final as (

    select
        *,
        max_temperature_c - temperature_at_load_on_c as temperature_rise_c,
        (rest_voltage_v - voltage_at_load_on_v) / nullif(step_a, 0) as ohmic_resistance_ohm
    from summed

)

select * from final
