-- How many alerts are open, of each kind.
select
    kind,
    open_alerts
from alert_count
order by kind
