-- How fast a battery was cycled by each of its cycles. Of several at once the planner would read
-- the whole fleet.
select
    cycle_index,
    hours_per_cycle
from cycle_pace
where battery_id = %(battery_id)s
