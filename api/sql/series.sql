-- All usable cycles of a battery in time order: what its one-step predictions are made from.
select
    cycle_index,
    features,
    soh_target as soh
from cycle_series
where battery_id = %(battery_id)s
order by cycle_index
