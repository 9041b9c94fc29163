-- One page of the alerts, the newest first, with how many there are in all.
with

matching as (

    select
        battery_id,
        kind,
        since,
        until,
        value,
        threshold,
        unit,
        description,
        count(*) over () as total
    from fleet_alert
    where
        (until is null or %(history)s)
        and (%(battery_id)s::text is null or battery_id = %(battery_id)s)

)

select
    matching.battery_id,
    matching.kind,
    matching.since,
    matching.until,
    matching.value,
    matching.threshold,
    matching.unit,
    matching.description,
    coalesce(summary.is_simulated, false) as is_simulated,
    matching.total
from matching
left join battery_summary as summary on matching.battery_id = summary.battery_id
where
    %(after_since)s::timestamptz is null
    or matching.since < %(after_since)s
    or (
        matching.since = %(after_since)s
        and (matching.battery_id, matching.kind) > (%(after_battery_id)s, %(after_kind)s)
    )
order by matching.since desc, matching.battery_id, matching.kind
limit %(limit)s offset %(offset)s
