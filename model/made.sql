-- Past cycles of a battery after which a model has forecast at least so many cycles, each with the
-- last state of health that was known then.
select
    made_after_cycle,
    min(last_soh) as last_soh
from forecast.cycle_forecast
where battery_id = %(battery_id)s and model_version = %(model_version)s
group by made_after_cycle
having max(horizon) >= %(horizon)s
