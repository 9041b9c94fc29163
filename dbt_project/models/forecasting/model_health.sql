with

errors as (

    select * from {{ ref('forecast_error') }}
    where horizon = 1

),

batteries as (

    select * from {{ ref('battery_summary') }}

),

numbered as (

    select
        *,
        row_number() over (
            partition by model_version, battery_id order by cycle_index desc
        ) as cycles_from_end
    from errors

),

final as (

    select
        numbered.model_version,
        coalesce(batteries.battery_group, batteries.layout)::varchar as battery_group,
        count(distinct numbered.battery_id)::int as batteries,
        count(*)::int as cycles,
        sqrt(avg(numbered.error ^ 2)) as rmse,
        sqrt(avg(numbered.persistence_error ^ 2)) as persistence_rmse,
        avg(numbered.is_within::int)::float8 as coverage,
        avg(numbered.error) as bias,
        avg(numbered.is_unlike_training::int)::float8 as share_unlike_training
    from numbered
    inner join batteries
        on numbered.battery_id = batteries.battery_id
    where numbered.cycles_from_end <= {{ var('health_cycles') }}
    group by numbered.model_version, coalesce(batteries.battery_group, batteries.layout)

)

select * from final
