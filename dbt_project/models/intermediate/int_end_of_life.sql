with

retention as (

    select * from {{ ref('int_retention') }}

),

-- where a battery's first capacities are below the threshold already, the load or the cold is seen
-- in them, and not its age: what it keeps of them tells
measured as (

    select
        *,
        case
            when reference_soh >= {{ var('end_of_life_soh') }} then 'soh'
            else 'capacity_retention'
        end as measure
    from retention
    where has_ground_truth and operating_point is not null

),

compared as (

    select
        *,
        case measure when 'soh' then soh_target else capacity_retention end
        < {{ var('end_of_life_soh') }} as is_below
    from measured

),

lasting as (

    select
        *,
        count(*) filter (where is_below) over (
            partition by battery_id, operating_point
            order by discharge_index
            rows between current row and {{ var('end_of_life_cycles') - 1 }} following
        ) = {{ var('end_of_life_cycles') }} as is_over
    from compared

),

final as (

    select distinct on (battery_id)
        battery_id,
        cycle_index as end_of_life_cycle,
        measure as end_of_life_measure
    from lasting
    where is_over
    order by battery_id, cycle_index

)

select * from final
