with

pieces as (

    select * from {{ ref('stg_pieces') }}

),

conditions as (

    select * from {{ ref('battery_condition') }}

),

layout_defaults as (

    select * from {{ ref('layout_default') }}

),

facts as (

    {{ battery_facts('pieces') }}

),

final as (

    select
        facts.battery_id,
        facts.layout,
        facts.is_simulated,
        conditions.battery_group,
        conditions.ambient,
        coalesce(
            facts.ambient_temperature_c, conditions.ambient_temperature_c
        ) as ambient_temperature_c,
        conditions.load,
        coalesce(
            facts.rated_capacity_ah,
            conditions.rated_capacity_ah,
            layout_defaults.rated_capacity_ah
        ) as rated_capacity_ah,
        coalesce(
            facts.cutoff_v, conditions.cutoff_v, layout_defaults.cutoff_v
        ) as cutoff_v,
        coalesce(facts.full_charge_v, layout_defaults.full_charge_v) as full_charge_v,
        coalesce(facts.charge_limit_v, layout_defaults.charge_limit_v) as charge_limit_v,
        -- the current that empties the cell in an hour, else the largest that it has seen
        coalesce(
            facts.rated_capacity_ah,
            conditions.rated_capacity_ah,
            layout_defaults.rated_capacity_ah,
            facts.largest_current_a
        ) as size_a
    from facts
    inner join layout_defaults
        on facts.layout = layout_defaults.layout
    -- a simulated SRW26 is used as RW26 was
    left join conditions
        on
            case
                when facts.is_simulated then substr(facts.battery_id, 2)
                else facts.battery_id
            end = conditions.battery_id

)

select * from final
