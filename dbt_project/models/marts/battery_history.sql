with

series as (

    select * from {{ ref('cycle_series') }}
    {{ only_changed_batteries() }}

),

paces as (

    select * from {{ ref('cycle_pace') }}
    {{ only_changed_batteries() }}

),

typed as (

    select
        *,
        coalesce((features ->> 'equivalent_full_cycles')::float8, 0) as age,
        coalesce((features ->> 'operating_point')::int, 1) as operating_point
    from series

),

numbered as (

    select
        *,
        row_number() over (partition by battery_id order by cycle_index desc) as cycles_from_end
    from typed

),

-- capacities at another operating point do not continue one another: the last one's truths count
last_points as (

    select distinct on (battery_id)
        battery_id,
        operating_point
    from typed
    where soh_target is not null
    order by battery_id, cycle_index desc

),

truths as (

    select
        typed.battery_id,
        array_agg(typed.cycle_index order by typed.cycle_index) as cycle,
        array_agg(typed.age order by typed.cycle_index) as age,
        array_agg(typed.soh_target order by typed.cycle_index) as soh
    from typed
    inner join last_points
        on
            typed.battery_id = last_points.battery_id
            and typed.operating_point = last_points.operating_point
    where typed.soh_target is not null
    group by typed.battery_id

),

-- what one window needs, so that a page of batteries is predicted from one row each
windows as (

    select
        battery_id,
        max(cycle_index) as last_cycle_index,
        max(age) as last_age,
        jsonb_agg(
            features || jsonb_build_object('soh_target', soh_target) order by cycle_index
        ) as last_cycles
    from numbered
    where cycles_from_end <= {{ var('window', 50) }}
    group by battery_id

),

final as (

    select
        windows.battery_id,
        windows.last_cycle_index,
        windows.last_age,
        coalesce(truths.cycle, '{}') as truth_cycle,
        coalesce(truths.age, '{}') as truth_age,
        coalesce(truths.soh, '{}') as truth_soh,
        paces.hours_per_cycle,
        windows.last_cycles
    from windows
    inner join paces
        on
            windows.battery_id = paces.battery_id
            and windows.last_cycle_index = paces.cycle_index
    left join truths
        on windows.battery_id = truths.battery_id

)

select * from final
