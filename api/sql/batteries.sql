-- One page of the fleet, with how many batteries there are in all. What they are forecast from is
-- long: it is looked up for the page alone.
with

sorted as (

    select
        *,
        count(*) over () as total
    from battery_summary
    where
        (%(min_soh)s::float8 is null or last_soh >= %(min_soh)s)
        and (%(max_soh)s::float8 is null or last_soh <= %(max_soh)s)
        and (
            %(search)s = ''
            or position(lower(%(search)s) in lower(battery_id)) > 0
            or position(lower(%(search)s) in lower(battery_id || ' ' || battery_group)) > 0
        )
    order by
        case when %(sort)s = 'battery_id' then battery_id end,
        case when %(sort)s = '-battery_id' then battery_id end desc,
        case when %(sort)s = 'last_soh' then last_soh end,
        case when %(sort)s = '-last_soh' then last_soh end desc nulls last,
        case when %(sort)s = 'cycles' then cycles end,
        case when %(sort)s = '-cycles' then cycles end desc,
        battery_id
    limit %(limit)s offset %(offset)s

),

page as (

    select
        *,
        row_number() over () as place
    from sorted

)

select
    battery_id,
    battery_group,
    layout,
    is_simulated,
    ambient,
    load,
    rated_capacity_ah,
    discharges,
    cycles,
    first_soh,
    last_soh,
    last_retention,
    end_of_life_cycle,
    end_of_life_measure,
    last_cycle_index,
    last_age,
    truth_cycle,
    truth_age,
    truth_soh,
    hours_per_cycle,
    last_cycles,
    total
from page
left join battery_history using (battery_id)
order by place
