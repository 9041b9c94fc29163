-- A battery's recorded discharges in time order, kept or left out, with how many there are in all.
select
    quality.discharge_index,
    quality.cycle_index,
    to_char(quality.started_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS') as started_at,
    quality.discharge_capacity_ah,
    quality.is_usable,
    quality.reason,
    series.soh_target as soh,
    series.features,
    (select count(*) from cycle_quality where battery_id = %(battery_id)s) as total
from cycle_quality as quality
left join cycle_series as series
    on quality.battery_id = series.battery_id and quality.cycle_index = series.cycle_index
where
    quality.battery_id = %(battery_id)s
    and (%(after)s::numeric is null or quality.discharge_index > %(after)s)
order by quality.discharge_index
limit %(limit)s offset %(offset)s
