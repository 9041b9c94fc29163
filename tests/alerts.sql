-- Two alerts that are open and one that was closed; forecasts of S0003 by two models.
insert into public_intermediate.alert_history (
    battery_id, kind, value, threshold, unit, description,
    dbt_scd_id, dbt_updated_at, dbt_valid_from, dbt_valid_to
)
values
(
    'S0003', 'end_of_life_near', 34, 50, 'cycles', 'The end of life is near.',
    'a', '2026-03-02 10:00Z', '2026-03-02 10:00Z', null
),
(
    'S0001', 'coverage_fallen', 0.6, 0.75, 'share', 'The interval is missed too often.',
    'b', '2026-03-01 10:00Z', '2026-03-01 10:00Z', null
),
(
    'S0003', 'no_data', 9.25, 7, 'days', 'Nothing has been recorded.',
    'c', '2026-02-11 10:00Z', '2026-02-01 10:00Z', '2026-02-11 10:00Z'
);

insert into forecast.cycle_forecast (
    battery_id, made_after_cycle, cycle_index, horizon, soh, soh_low, soh_high,
    features, is_unlike_training, last_soh, model_version
)
select
    series.battery_id,
    series.cycle_index - 1 as made_after_cycle,
    series.cycle_index,
    1 as horizon,
    series.soh_target + models.bias as soh,
    series.soh_target + models.bias - 0.01 as soh_low,
    series.soh_target + models.bias + 0.01 as soh_high,
    'spec' as features,
    models.bias > 0.01 as is_unlike_training,
    known.soh_target as last_soh,
    models.version as model_version
from cycle_series as series
inner join cycle_series as known
    on series.battery_id = known.battery_id and series.cycle_index = known.cycle_index + 1
cross join (
    values (%(version)s, 0.001::float8), ('0123456789ab', 0.02)
) as models (version, bias)
where series.battery_id = 'S0003' and series.cycle_index > 50;
