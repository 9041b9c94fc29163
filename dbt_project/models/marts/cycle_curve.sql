with

curves as (

    select * from {{ ref('discharge_curve') }}

),

final as (

    select
        battery_id,
        cycle_index,
        time_s,
        voltage_v,
        current_a,
        temperature_c
    from curves
    where cycle_index is not null

)

select * from final
