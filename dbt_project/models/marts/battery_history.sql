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

-- capacities at another operating point do not continue one another: the last one's truths count
numbered as (

    select
        *,
        row_number() over (partition by battery_id order by cycle_index desc) as cycles_from_end,
        soh_target is not null
        and operating_point = first_value(operating_point) over (
            partition by battery_id
            order by soh_target is null, cycle_index desc
        ) as is_truth
    from typed

),

-- and what one window needs, so that a page of batteries is predicted from one row each
collected as (

    select
        battery_id,
        max(cycle_index) as last_cycle_index,
        max(age) filter (where cycles_from_end <= {{ var('window', 50) }}) as last_age,
        {% for name, value in [("cycle", "cycle_index"), ("age", "age"), ("soh", "soh_target")] -%}
            coalesce(
                array_agg({{ value }} order by cycle_index) filter (where is_truth), '{}'
            ) as truth_{{ name }},
        {% endfor -%}
        jsonb_agg(
            features || jsonb_build_object('soh_target', soh_target) order by cycle_index
        ) filter (where cycles_from_end <= {{ var('window', 50) }}) as last_cycles
    from numbered
    group by battery_id

),

final as (

    select
        collected.battery_id,
        collected.last_cycle_index,
        collected.last_age,
        collected.truth_cycle,
        collected.truth_age,
        collected.truth_soh,
        paces.hours_per_cycle,
        collected.last_cycles
    from collected
    inner join paces
        on
            collected.battery_id = paces.battery_id
            and collected.last_cycle_index = paces.cycle_index

)

select * from final
