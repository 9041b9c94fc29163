-- How each model did of late, by group of batteries.
select
    model_version,
    battery_group,
    batteries,
    cycles,
    rmse,
    persistence_rmse,
    coverage,
    bias,
    share_unlike_training
from model_health
order by battery_group, model_version
