with

forecasts as (

    select * from {{ source('forecast', 'cycle_forecast') }}

),

cycles as (

    select * from {{ ref('cycle_series') }}

),

numbered as (

    select
        battery_id,
        cycle_index,
        soh_target,
        count(soh_target) over (partition by battery_id order by cycle_index) as truths
    from {{ ref('cycle_series') }}

),

-- what persistence would have said: between two ground truths the last one stands
known as (

    select
        battery_id,
        cycle_index,
        max(soh_target) over (partition by battery_id, truths) as soh
    from numbered

),

final as (

    select
        forecasts.battery_id,
        forecasts.made_after_cycle,
        forecasts.cycle_index,
        forecasts.horizon,
        forecasts.model_version::varchar as model_version,
        forecasts.made_at,
        forecasts.features::varchar as features,
        forecasts.is_unlike_training,
        forecasts.soh,
        forecasts.soh_low,
        forecasts.soh_high,
        cycles.soh_target,
        forecasts.soh - cycles.soh_target as error,
        known.soh - cycles.soh_target as persistence_error,
        cycles.soh_target between forecasts.soh_low and forecasts.soh_high as is_within
    from forecasts
    inner join cycles
        on
            forecasts.battery_id = cycles.battery_id
            and forecasts.cycle_index = cycles.cycle_index
    -- a battery that was loaded anew with other recordings is not the one that was forecast
    inner join known
        on
            forecasts.battery_id = known.battery_id
            and forecasts.made_after_cycle = known.cycle_index
            and abs(forecasts.last_soh - known.soh) < 1e-6
    where cycles.soh_target is not null

)

select * from final
