-- The kinds of the alerts that are open, of some batteries or of all.
select
    battery_id,
    array_agg(kind order by kind) as kinds
from fleet_alert
where
    until is null
    and (%(battery_ids)s::text[] is null or battery_id = any(%(battery_ids)s::text[]))
group by battery_id
