with

source_files as (

    select * from {{ ref('stg_source_files') }}

),

conditions as (

    select * from {{ ref('battery_condition') }}

),

layout_defaults as (

    select * from {{ ref('layout_default') }}

),

final as (

    select
        source_files.battery_id,
        source_files.layout,
        source_files.is_simulated,
        conditions.battery_group,
        conditions.ambient,
        coalesce(
            source_files.ambient_temperature_c, conditions.ambient_temperature_c
        ) as ambient_temperature_c,
        conditions.load,
        coalesce(
            source_files.rated_capacity_ah,
            conditions.rated_capacity_ah,
            layout_defaults.rated_capacity_ah
        ) as rated_capacity_ah,
        coalesce(
            source_files.cutoff_v, conditions.cutoff_v, layout_defaults.cutoff_v
        ) as cutoff_v,
        coalesce(source_files.full_charge_v, layout_defaults.full_charge_v) as full_charge_v,
        coalesce(source_files.charge_limit_v, layout_defaults.charge_limit_v) as charge_limit_v,
        -- the current that empties the cell in an hour, else the largest that it has seen
        coalesce(
            source_files.rated_capacity_ah,
            conditions.rated_capacity_ah,
            layout_defaults.rated_capacity_ah,
            source_files.largest_current_a
        ) as size_a
    from source_files
    inner join layout_defaults
        on source_files.layout = layout_defaults.layout
    left join conditions
        on source_files.battery_id = conditions.battery_id

)

select * from final
