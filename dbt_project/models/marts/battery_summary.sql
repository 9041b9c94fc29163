with

batteries as (

    select * from {{ ref('int_batteries') }}
    {{ only_changed_batteries() }}

),

discharges as (

    select * from {{ ref('int_discharges') }}
    {{ only_changed_batteries() }}

),

verdicts as (

    select * from {{ ref('int_verdicts') }}
    {{ only_changed_batteries() }}

),

retention as (

    select * from {{ ref('int_retention') }}
    {{ only_changed_batteries() }}

),

ends as (

    select * from {{ ref('int_end_of_life') }}
    {{ only_changed_batteries() }}

),

recordings as not materialized (

    select * from {{ ref('int_recording_order') }}
    {{ only_changed_batteries() }}

),

counted as (

    select
        battery_id,
        count(*)::int as discharges,
        count(*) filter (where is_usable)::int as cycles,
        (array_agg(soh_target order by cycle_index) filter (where soh_target is not null)) as soh
    from verdicts
    group by battery_id

),

retained as (

    select
        battery_id,
        (
            array_agg(capacity_retention order by cycle_index desc) filter (
                where capacity_retention is not null
            )
        )[1] as last_retention,
        count(distinct operating_point)::int as operating_points
    from retention
    group by battery_id

),

-- a table's time line counts from the start of its test: dates tell when that was
dated as (

    select distinct on (discharges.battery_id)
        discharges.battery_id,
        discharges.started_at - recordings.begins_at as ahead
    from discharges
    inner join recordings
        on
            discharges.battery_id = recordings.battery_id
            and discharges.recording_index = recordings.recording_index
    where discharges.started_at - recordings.begins_at is not null
    order by discharges.battery_id, discharges.discharge_index desc

),

lasted as (

    select
        battery_id,
        max(ended_at) as ended_at
    from recordings
    group by battery_id

),

final as (

    select
        {{ battery_key('batteries.battery_id') }} as battery_id,
        batteries.layout::varchar as layout,
        coalesce(batteries.is_simulated, false) as is_simulated,
        batteries.battery_group::varchar as battery_group,
        batteries.rated_capacity_ah::float8 as rated_capacity_ah,
        batteries.cutoff_v::float8 as cutoff_v,
        batteries.ambient::varchar as ambient,
        batteries.load::varchar as load,
        coalesce(counted.discharges, 0) as discharges,
        coalesce(counted.cycles, 0) as cycles,
        counted.soh[1] as first_soh,
        counted.soh[cardinality(counted.soh)] as last_soh,
        retained.last_retention,
        coalesce(retained.operating_points, 0) as operating_points,
        ends.end_of_life_cycle,
        ends.end_of_life_measure::varchar as end_of_life_measure,
        lasted.ended_at + dated.ahead as last_recorded_at
    from batteries
    left join counted
        on batteries.battery_id = counted.battery_id
    left join retained
        on batteries.battery_id = retained.battery_id
    left join ends
        on batteries.battery_id = ends.battery_id
    left join dated
        on batteries.battery_id = dated.battery_id
    left join lasted
        on batteries.battery_id = lasted.battery_id

)

select * from final
