-- One page of the alerts, with how many there are in all.
select
    alerts.battery_id,
    alerts.kind,
    alerts.since,
    alerts.until,
    alerts.value,
    alerts.threshold,
    alerts.unit,
    alerts.description,
    coalesce(summary.is_simulated, false) as is_simulated,
    count(*) over () as total
from fleet_alert as alerts
left join battery_summary as summary on alerts.battery_id = summary.battery_id
where
    (alerts.until is null or %(history)s)
    and (%(battery_id)s::text is null or alerts.battery_id = %(battery_id)s)
order by alerts.since desc, alerts.battery_id, alerts.kind
limit %(limit)s offset %(offset)s
