-- Open alerts that the webhook has not taken yet, the oldest first.
select
    alerts.battery_id,
    alerts.kind,
    alerts.since,
    alerts.value,
    alerts.threshold,
    alerts.description
from fleet_alert as alerts
where
    alerts.until is null
    and not exists (
        select from forecast.alert_delivery as deliveries
        where
            deliveries.battery_id = alerts.battery_id
            and deliveries.kind = alerts.kind
            and deliveries.since = alerts.since
    )
order by alerts.since, alerts.battery_id, alerts.kind
