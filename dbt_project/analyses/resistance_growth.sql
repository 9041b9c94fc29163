-- How much has resistance grown from a cell's first five cycles to its last five?
with

ranked as (

    select
        *,
        row_number() over (partition by battery_id order by cycle_index) as from_start,
        row_number() over (partition by battery_id order by cycle_index desc) as from_end
    from {{ ref('cycle_features') }}
    where internal_resistance is not null

),

ends as (

    select
        battery_id,
        1000 * avg(internal_resistance) filter (where from_start <= 5) as first_re,
        1000 * avg(internal_resistance) filter (where from_end <= 5) as last_re,
        1000 * avg(charge_transfer_resistance) filter (where from_start <= 5) as first_rct,
        1000 * avg(charge_transfer_resistance) filter (where from_end <= 5) as last_rct
    from ranked
    group by battery_id

)

select
    battery_id,
    round(first_re::numeric, 1) as first_re_milliohm,
    round(last_re::numeric, 1) as last_re_milliohm,
    round(first_rct::numeric, 1) as first_rct_milliohm,
    round(last_rct::numeric, 1) as last_rct_milliohm,
    round((100 * (last_re + last_rct) / (first_re + first_rct) - 100)::numeric) as growth_percent
from ends
order by growth_percent desc
