-- One page of the fleet, with how many batteries there are in all, and how many of these have a
-- forecast that model.predict kept after their last cycle: by it they are sorted where asked. What
-- they are forecast from is long: it is looked up for the page alone.
with

judged as (

    select
        *,
        end_of_life_cycle is not null
        and coalesce(
            case when end_of_life_measure = 'soh' then last_soh else last_retention end, 0
        ) < 0.7 as has_ended
    from battery_summary

),

known as (

    select
        judged.*,
        coming.soh as next_soh,
        coming.is_unlike_training,
        coming.battery_id is not null as has_forecast,
        ends.cycles as remaining,
        case
            when judged.has_ended then 0
            when ends.cycles is not null then 1
            when ends.battery_id is not null then 2  -- not within the horizon: longer than any
        end as remaining_rank
    from judged
    left join forecast.cycle_forecast as coming
        on
            judged.battery_id = coming.battery_id
            and judged.cycles = coming.made_after_cycle
            and judged.cycles + 1 = coming.cycle_index
            and coming.model_version = %(model_version)s
    left join forecast.end_of_life_forecast as ends
        on
            judged.battery_id = ends.battery_id
            and judged.cycles = ends.made_after_cycle
            and ends.model_version = %(model_version)s

),

sorted as (

    select
        *,
        count(*) over () as total,
        count(*) filter (where has_forecast) over () as kept
    from known
    where
        (%(min_soh)s::float8 is null or last_soh >= %(min_soh)s)
        and (%(max_soh)s::float8 is null or last_soh <= %(max_soh)s)
        and (
            %(search)s = ''
            or position(lower(%(search)s) in lower(battery_id)) > 0
            or position(lower(%(search)s) in lower(battery_id || ' ' || battery_group)) > 0
        )
        and (%(flag)s::text is distinct from 'unlike_training' or is_unlike_training)
        and (%(flag)s::text is distinct from 'ended' or has_ended)
        and (%(flag)s::text is distinct from 'simulated' or is_simulated)
        and (
            %(flag)s::text is distinct from 'alert'
            or battery_id in (
                select battery_id from fleet_alert
                where until is null
            )
        )
    order by
        case when %(sort)s = 'battery_id' then battery_id end,
        case when %(sort)s = '-battery_id' then battery_id end desc,
        case when %(sort)s = 'last_soh' then last_soh end,
        case when %(sort)s = '-last_soh' then last_soh end desc nulls last,
        case when %(sort)s = 'cycles' then cycles end,
        case when %(sort)s = '-cycles' then cycles end desc,
        case when %(sort)s = 'next_soh' then next_soh end,
        case when %(sort)s = '-next_soh' then next_soh end desc nulls last,
        case when %(sort)s = 'remaining' then remaining_rank end,
        case when %(sort)s = '-remaining' then remaining_rank end desc nulls last,
        case when %(sort)s = 'remaining' and not has_ended then remaining end,
        case when %(sort)s = '-remaining' and not has_ended then remaining end desc,
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
    total,
    kept
from page
left join battery_history using (battery_id)
order by place
