-- Where does capacity come back, and after how much rest? The largest rises from one cycle to the next.
with

steps as (

    select
        battery_id,
        cycle_index,
        rest_hours,
        rest_after_hours,
        rest_before_hours,
        soh_target - lag(soh_target) over (partition by battery_id order by cycle_index) as rise
    from {{ ref('cycle_features') }}

)

select
    battery_id,
    cycle_index,
    round((100 * rise)::numeric, 2) as rise_percent,
    round(rest_hours::numeric, 1) as rest_hours,
    round(rest_after_hours::numeric, 1) as rest_after_hours,
    round(rest_before_hours::numeric, 1) as rest_before_hours
from steps
where battery_id in ({{ analysed_batteries() }}) and rise > 0.02
order by rise desc
limit 12
