with

verdicts as (

    select * from {{ ref('int_verdicts') }}

),

-- an operating point counts from the first discharge that is a row of cycle_series
met as (

    select
        *,
        min(discharge_index) over point as met_at,
        count(*) filter (where has_ground_truth) over (
            point
            order by discharge_index
        )::int as truths
    from verdicts
    where is_usable
    window point as (partition by battery_id, like_discharge)

),

-- the battery's own first three, as far as they are known by then
referenced as (

    select
        *,
        case
            when like_discharge is not null
                then dense_rank() over (partition by battery_id order by met_at)
        end::int as operating_point,
        array_agg(discharge_capacity_ah) filter (where has_ground_truth and truths <= 3) over (
            partition by battery_id, like_discharge order by discharge_index
        ) as first_capacities_ah
    from met

),

final as (

    select
        referenced.battery_id,
        referenced.discharge_index,
        referenced.cycle_index,
        referenced.has_ground_truth,
        referenced.soh_target,
        referenced.operating_point,
        case when referenced.operating_point is not null then referenced.truths end
            as cycles_at_operating_point,
        reference.capacity_ah / referenced.rated_capacity_ah as reference_soh,
        case
            when referenced.has_ground_truth and referenced.operating_point is not null
                then referenced.discharge_capacity_ah / reference.capacity_ah
        end as capacity_retention
    from referenced
    cross join lateral (
        select percentile_cont(0.5) within group (order by own.capacity_ah) as capacity_ah
        from unnest(referenced.first_capacities_ah) as own (capacity_ah)
    ) as reference

)

select * from final
