with

quality as not materialized (

    select * from {{ ref('cycle_quality') }}
    {{ only_changed_batteries() }}

),

rules as (

    select * from {{ ref('quality_rule') }}

),

counted as (

    select
        battery_id,
        reason,
        count(*)::int as discharges
    from quality
    group by battery_id, reason

),

batteries as (

    select distinct battery_id from quality

),

-- every rule, those that no discharge of the battery broke too
final as (

    select
        batteries.battery_id,
        rules.reason::varchar as reason,
        rules.position as rule_position,
        rules.is_usable,
        rules.description::varchar as description,
        coalesce(counted.discharges, 0) as discharges
    from batteries
    cross join rules
    left join counted
        on
            batteries.battery_id = counted.battery_id
            and rules.reason = counted.reason

)

select * from final
