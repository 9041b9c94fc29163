-- What changes whenever a row of the battery is written anew: rows and the transactions that wrote
-- them. A sum, not the last: one that began earlier may end later.
select concat(count(*), ' ', sum(written.by::text::bigint)) as stamp
from (
    select xmin as by from cycle_series where battery_id = %(battery_id)s
    union all
    select xmin from cycle_quality where battery_id = %(battery_id)s
    union all
    select xmin from battery_summary where battery_id = %(battery_id)s
    union all
    select xmin from battery_history where battery_id = %(battery_id)s
) as written
