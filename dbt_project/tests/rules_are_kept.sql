{{ config(severity='error') }}
-- What seeds/quality_rule.csv says of a rule is what the models do with it.
select
    quality.battery_id,
    quality.discharge_index,
    quality.reason
from {{ ref('cycle_quality') }} as quality
inner join {{ ref('quality_rule') }} as rules
    on quality.reason = rules.reason
left join {{ ref('cycle_series') }} as series
    on
        quality.battery_id = series.battery_id
        and quality.cycle_index = series.cycle_index
where
    quality.is_usable <> rules.is_usable
    or (series.soh_target is not null and not rules.has_ground_truth)
