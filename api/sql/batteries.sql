-- One page of the fleet, with how many batteries there are in all, and how many of these have a
-- forecast that model.predict kept after their last cycle: told where they are sorted or chosen by
-- it. What they are forecast from is long: it is looked up for the page alone.
with

judged as (

    select
        *,
        end_of_life_cycle is not null
        and coalesce(
            case when end_of_life_measure = 'soh' then last_soh else last_retention end, 0
        ) < 0.7 as has_ended,
        -- a constant would be folded away, and with it, for a cluster, that the join is by battery
        %(by_forecast)s or cycles < 0 as is_asked
    from battery_summary

),

known as (

    select
        judged.*,
        coming.soh as next_soh,
        coming.is_unlike_training,
        coming.is_kept,
        ends.cycles as remaining,
        case
            when judged.has_ended then 0
            when ends.cycles is not null then 1
            when ends.is_kept then 2  -- not within the horizon: longer than any
        end as remaining_rank
    from judged
    -- looked up one by one: joined, the forecasts of all cycles to come would be read
    left join lateral (
        select
            max(soh) as soh,
            bool_or(is_unlike_training) as is_unlike_training,
            count(*) > 0 as is_kept
        from forecast.cycle_forecast as forecasts
        where
            judged.is_asked
            and forecasts.battery_id = judged.battery_id
            and forecasts.made_after_cycle = judged.cycles
            and forecasts.cycle_index = judged.cycles + 1
            and forecasts.model_version = %(model_version)s
    ) as coming on true
    left join lateral (
        select
            max(cycles) as cycles,
            count(*) > 0 as is_kept
        from forecast.end_of_life_forecast as forecasts
        where
            judged.is_asked
            and forecasts.battery_id = judged.battery_id
            and forecasts.made_after_cycle = judged.cycles
            and forecasts.model_version = %(model_version)s
    ) as ends on true

),

sorted as (

    select
        *,
        count(*) over () as total,
        count(*) filter (where is_kept) over () as kept
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
        and (%(battery_ids)s::text[] is null or battery_id = any(%(battery_ids)s::text[]))
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
