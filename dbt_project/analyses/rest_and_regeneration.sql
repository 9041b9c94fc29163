-- How much does capacity change from one cycle to the next, by the rest between them?
with

steps as (

    select
        rest_hours,
        soh_target - lag(soh_target) over (partition by battery_id order by cycle_index) as change
    from {{ ref('cycle_features') }}
    where battery_id in ({{ analysed_batteries() }})

)

select
    case width_bucket(rest_hours, array[4, 8, 24, 96])
        when 0 then 'under 4 h'
        when 1 then '4 to 8 h'
        when 2 then '8 to 24 h'
        when 3 then '1 to 4 days'
        else 'over 4 days'
    end as rest,
    count(*) as cycles,
    round((100 * avg(change))::numeric, 2) as mean_change_percent,
    round((100 * count(*) filter (where change > 0) / count(*))::numeric) as percent_that_rise
from steps
where change is not null and rest_hours is not null
group by width_bucket(rest_hours, array[4, 8, 24, 96])
order by width_bucket(rest_hours, array[4, 8, 24, 96])
