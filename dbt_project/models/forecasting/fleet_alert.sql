with

alerts as (

    select * from {{ ref('alert_history') }}

),

final as (

    select
        battery_id,
        kind::varchar as kind,
        dbt_valid_from as since,
        dbt_valid_to as until,
        value,
        threshold,
        unit::varchar as unit,
        description::varchar as description
    from alerts

)

select * from final
