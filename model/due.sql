-- Batteries, each with what tells whether its forecast by a model is due: cycles, whether it has a
-- rated capacity and a ground truth, and how far ahead the forecast after its last cycle looks.
select
    summary.battery_id,
    summary.cycles,
    summary.rated_capacity_ah is not null as is_rated,
    summary.first_soh is not null as has_truth,
    coalesce(made.horizon, 0) as horizon
from battery_summary as summary
left join lateral (
    select max(forecasts.horizon) as horizon
    from forecast.cycle_forecast as forecasts
    where
        forecasts.battery_id = summary.battery_id
        and forecasts.made_after_cycle = summary.cycles
        and forecasts.model_version = %(model_version)s
        -- made of these recordings, and not of others that they have replaced
        and abs(forecasts.last_soh - summary.last_soh) < 1e-6
) as made on true
where
    (%(battery_ids)s::text[] is null or summary.battery_id = any(%(battery_ids)s::text[]))
    and (
        %(since)s::timestamp is null
        or exists (
            select from cycle_quality as quality
            where
                quality.battery_id = summary.battery_id
                and quality.started_at >= %(since)s::timestamp
        )
    )
order by summary.battery_id
