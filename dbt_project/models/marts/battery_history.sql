with

cycles as (

    select * from {{ ref('cycle_series') }}
    {{ only_changed_batteries() }}

),

numbered as (

    select
        *,
        row_number() over (partition by battery_id order by cycle_index desc) as cycles_from_end,
        count(soh_target) over (partition by battery_id order by cycle_index) as truths
    from cycles

),

-- between two ground truths the last one stands: a trajectory is told by the cycle
carried as (

    select
        *,
        max(soh_target) over (partition by battery_id, truths) as soh
    from numbered

),

final as (

    select
        battery_id,
        max(cycle_index) as last_cycle_index,
        coalesce(
            array_agg(soh order by cycle_index) filter (where soh is not null), '{}'
        ) as soh,
        -- what one window needs, so that a page of batteries is predicted from one row each
        jsonb_agg(
            features || jsonb_build_object('soh_target', soh_target) order by cycle_index
        ) filter (
            where cycles_from_end <= {{ var('window', 50) }}
        ) as last_cycles
    from carried
    group by battery_id

)

select * from final
