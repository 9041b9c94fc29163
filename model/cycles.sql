-- The one query of the trainer and the service: batteries' cycles in time order, all of it numbers.
-- The features wanted take the place of the braces.
select
    asked.place::float8,
    series.cycle_index::float8,
    coalesce(series.soh_target, 'NaN'),
    {}
from unnest(%(battery_ids)s::text[]) with ordinality as asked (battery_id, place)
inner join cycle_series as series on asked.battery_id = series.battery_id
order by asked.place, series.cycle_index
