with

rules as (

    select * from {{ ref('alert_rule') }}

),

open_alerts as (

    select * from {{ ref('fleet_alert') }}
    where until is null

),

final as (

    select
        rules.kind::varchar as kind,
        count(open_alerts.battery_id)::int as open_alerts
    from rules
    left join open_alerts
        on rules.kind = open_alerts.kind
    group by rules.kind

)

select * from final
