-- How does the temperature of the surroundings change capacity and fade?
with

cells as (

    select
        battery_id,
        min(ambient_temperature) as ambient_c,
        avg(avg_current_load) as load_a,
        max(soh_target) as best_soh,
        regr_slope(soh_target, throughput_ah) as slope
    from {{ ref('cycle_features') }}
    group by battery_id
    having count(soh_target) >= 10 and min(ambient_temperature) = max(ambient_temperature)

)

select
    ambient_c,
    count(*) as cells,
    round(avg(load_a)::numeric, 1) as load_a,
    round(avg(best_soh)::numeric, 2) as best_soh,
    round((-100 * avg(slope))::numeric, 3) as fade_percent_per_ah
from cells
group by ambient_c
order by ambient_c
