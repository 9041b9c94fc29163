-- Which features move with the state of health, in every cell alike? Correlation within each cell.
with

cells as (

    select
        series.battery_id,
        feature.key as feature,
        corr((feature.value #>> '{}')::float8, series.soh_target) as r
    from {{ ref('cycle_series') }} as series
    cross join jsonb_each(series.features) as feature
    where
        series.soh_target is not null
        and jsonb_typeof(feature.value) = 'number'
        and feature.key not in ('discharge_capacity', 'capacity_retention')
    group by series.battery_id, feature.key
    having count(*) >= 10

)

select
    feature,
    count(r) as cells,
    round(avg(r)::numeric, 2) as mean_r,
    round(percentile_cont(0.1) within group (order by r)::numeric, 2) as p10_r,
    round(percentile_cont(0.9) within group (order by r)::numeric, 2) as p90_r
from cells
where r is not null
group by feature
order by abs(avg(r)) desc
