{%- set recent = var('window', 50) - 1 -%}
with

series as (

    select * from {{ ref('cycle_series') }}

),

qualities as (

    select * from {{ ref('cycle_quality') }}

),

timed as (

    select
        series.battery_id,
        series.cycle_index,
        qualities.started_at,
        case when qualities.started_at is not null then series.cycle_index end as dated_cycle,
        (series.features ->> 'rest_hours')::float8
        + (series.features ->> 'time_to_discharge')::float8 / 3600 as hours
    from series
    inner join qualities
        on
            series.battery_id = qualities.battery_id
            and series.cycle_index = qualities.cycle_index

),

summed as (

    select
        battery_id,
        cycle_index,
        max(started_at) over lately - min(started_at) over lately as elapsed,
        max(dated_cycle) over lately - min(dated_cycle) over lately as cycles,
        avg(hours) over lately as hours
    from timed
    window
        lately as (
            partition by battery_id
            order by cycle_index
            rows between {{ recent }} preceding and current row
        )

),

-- elapsed time counts pauses, and the discharges that are left out: a median over the cycles was
-- further off what came. Without dates there are only the hours of the cycles themselves.
final as (

    select
        battery_id,
        cycle_index,
        coalesce(
            extract(epoch from nullif(elapsed, interval '0'))::float8 / 3600 / nullif(cycles, 0),
            hours
        ) as hours_per_cycle
    from summed

)

select * from final
