-- Batteries whose capacities differ, in the median, from what their own files say was delivered:
-- one row per battery to look at.
select
    battery_id,
    count(capacity_deviation) as discharges,
    percentile_cont(0.5) within group (order by abs(capacity_deviation)) as median_deviation
from {{ ref('cycle_quality') }}
where capacity_deviation is not null and is_usable
group by battery_id
having
    percentile_cont(0.5) within group (order by abs(capacity_deviation))
    > {{ var('maximum_deviation') }}
