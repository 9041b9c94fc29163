-- The names of all batteries: for who asked for another.
select battery_id
from battery_summary
order by battery_id
