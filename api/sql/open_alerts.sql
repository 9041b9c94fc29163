-- The kinds of the alerts that are open of some batteries.
select
    battery_id,
    array_agg(kind order by kind) as kinds
from fleet_alert
where until is null and battery_id = any(%(battery_ids)s)
group by battery_id
