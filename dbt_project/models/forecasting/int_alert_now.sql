with

rules as (

    select * from {{ ref('alert_rule') }}

),

batteries as not materialized (

    select * from {{ ref('battery_summary') }}

),

errors as (

    select * from {{ ref('forecast_error') }}

),

ends_of_life as (

    select * from {{ source('forecast', 'end_of_life_forecast') }}

),

last_truths as (

    select
        battery_id,
        max(cycle_index) as cycle_index
    from {{ ref('cycle_series') }}
    where soh_target is not null
    group by battery_id

),

newest_end_of_life as (

    select distinct on (ends_of_life.battery_id)
        ends_of_life.battery_id,
        ends_of_life.cycles
    from ends_of_life
    inner join batteries
        on
            ends_of_life.battery_id = batteries.battery_id
            and ends_of_life.made_after_cycle <= batteries.cycles
    -- of one that is there nothing is near
    where
        batteries.end_of_life_cycle is null
        or case batteries.end_of_life_measure
            when 'soh' then batteries.last_soh else batteries.last_retention
        end >= {{ var('end_of_life_soh') }}
    order by
        ends_of_life.battery_id,
        ends_of_life.made_after_cycle desc,
        ends_of_life.made_at desc

),

-- of several forecasts of a cycle the one that knew most
compared as not materialized (

    select distinct on (battery_id, cycle_index)
        battery_id,
        cycle_index,
        is_within,
        soh_low - soh_target as soh_below
    from errors
    order by battery_id, cycle_index, horizon, made_at desc

),

numbered as (

    select
        *,
        row_number() over (partition by battery_id order by cycle_index desc) as cycles_from_end
    from compared

),

-- one branch per rule: what it looks at
measured as (

    select
        battery_id,
        'end_of_life_near' as kind,
        cycles::float8 as value
    from newest_end_of_life

    union all

    select
        battery_id,
        'coverage_fallen' as kind,
        avg(is_within::int)::float8 as value
    from numbered
    where cycles_from_end <= {{ var('health_cycles') }}
    group by battery_id
    having count(*) >= {{ var('minimum_health_cycles') }}

    union all

    select
        compared.battery_id,
        'capacity_drop' as kind,
        compared.soh_below as value
    from compared
    inner join last_truths
        on
            compared.battery_id = last_truths.battery_id
            and compared.cycle_index = last_truths.cycle_index

    union all

    select
        battery_id,
        'no_data' as kind,
        extract(
            epoch from current_timestamp at time zone 'utc' - last_recorded_at
        )::float8 / 86400 as value
    from batteries

),

final as (

    select
        measured.battery_id,
        rules.kind,
        measured.value,
        rules.threshold,
        rules.unit,
        rules.description
    from measured
    inner join rules
        on measured.kind = rules.kind
    -- a battery that is gone has no alerts
    inner join batteries
        on measured.battery_id = batteries.battery_id
    where
        case measured.kind
            when 'end_of_life_near' then measured.value <= rules.threshold
            when 'coverage_fallen' then measured.value < rules.threshold
            else measured.value > rules.threshold
        end
        and measured.value <= coalesce(rules.ceiling, 'infinity')

)

select * from final
