-- How far off are the forecasts, by how many cycles ahead they look?
select
    horizon,
    count(*) as forecasts,
    round(sqrt(avg(error ^ 2))::numeric, 4) as rmse,
    round(sqrt(avg(persistence_error ^ 2))::numeric, 4) as persistence_rmse,
    round(avg(is_within::int), 2) as coverage
from {{ ref('forecast_error') }}
where horizon in (1, 2, 5, 10, 20, 50, 100)
group by horizon
order by horizon
