-- The conditions of each battery that has cycles, its own name where none are known.
select
    battery_id,
    coalesce(battery_group, battery_id) as battery_group
from battery_summary
where cycles > 0
order by battery_id
