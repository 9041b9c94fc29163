{%- set changed = batteries_to_build() -%}
with

bounds as (

    select * from {{ ref('int_recording_bounds') }}

),

pieces as (

    select * from {{ ref('stg_pieces') }}

),

batteries as (

    select * from {{ ref('int_batteries') }}

),

placed as (

    select
        bounds.*,
        pieces.recordings_before + bounds.piece_index as recording_index,
        pieces.shift_s,
        pieces.layout = 'tabular' as is_tabular,
        batteries.size_a
    from bounds
    inner join pieces
        on
            bounds.battery_id = pieces.battery_id
            and bounds.piece = pieces.piece
    inner join batteries
        on bounds.battery_id = batteries.battery_id
    {{ only_changed_batteries('bounds', changed) }}

),

-- what flows in a day of rest is noise, which only the other days tell
numbered as (

    select
        *,
        case
            when largest_a < {{ var('rest_c_rate') }} * size_a then 'rest'
            else recording_type
        end as stated_type
    from placed
    where recording_index >= {{ carried_on(changed, 4) }}

),

-- the nearest charge or discharge before and after, an odd number where it is a discharge
surrounded as (

    select
        *,
        max(2 * recording_index + (stated_type = 'discharge')::int) filter (
            where pulse is null and stated_type <> 'rest'
        ) over (
            partition by battery_id
            order by recording_index
            rows between unbounded preceding and 1 preceding
        ) % 2 as is_discharge_before,
        min(2 * recording_index + (stated_type = 'discharge')::int) filter (
            where pulse is null and stated_type <> 'rest'
        ) over (
            partition by battery_id
            order by recording_index desc
            rows between unbounded preceding and 1 preceding
        ) % 2 as is_discharge_after
    from numbered

),

-- a pulse that a file begins with is part of what came before it, one that it ends with of what
-- comes after it; where there is nothing, or only one pulse, it may also be what it says
assigned as (

    select
        *,
        case
            when stated_type = 'rest' or pulse is null then null
            when pulse = 'first' then coalesce(is_discharge_before, is_discharge_after)
            when pulse = 'last' then coalesce(is_discharge_after, is_discharge_before)
            when (stated_type = 'discharge')::int in (is_discharge_before, is_discharge_after)
                then null
            else coalesce(is_discharge_before, is_discharge_after)
        end as is_part_of_discharge
    from surrounded

),

typed as (

    select
        *,
        case is_part_of_discharge
            when 1 then 'discharge'
            when 0 then 'charge'
            else stated_type
        end as assigned_type
    from assigned

),

timed as (

    select
        *,
        count(begins_at) over (partition by battery_id) > 0 as is_dated_battery,
        count(*) filter (where assigned_type = 'charge') over earlier as charges
    from typed
    window earlier as (partition by battery_id order by recording_index)

),

compared as (

    select
        *,
        lag(assigned_type) over earlier as type_before,
        lag(last_voltage_v) over earlier as voltage_before_v,
        lag(ended_at) over earlier as before_ended_at,
        coalesce(begins_at < lag(begins_at) over earlier, false) as is_out_of_order,
        (charges is distinct from lag(charges) over same_type) as is_after_a_charge,
        (activity is distinct from lag(activity) over same_type) as is_of_another_activity,
        (piece is distinct from lag(piece) over same_type) as is_of_another_piece,
        lag(cycle_count) over same_type as last_cycle_count,
        first_voltage_v - lag(last_voltage_v) over same_type as rise_v,
        greatest(first_voltage_v, lag(first_voltage_v) over same_type)
        - least(last_voltage_v, lag(last_voltage_v) over same_type) as span_v
    from timed
    window
        earlier as (partition by battery_id order by recording_index),
        same_type as (partition by battery_id, assigned_type order by recording_index)

),

risen as (

    select
        *,
        rise_v > {{ var('unseen_charge_share') }} * span_v
        and rise_v > {{ var('unseen_charge_rise') }} * first_voltage_v as has_risen
    from compared

),

-- discharges of one activity, and of one cycle, between two charges are one; each file may count
-- its cycles anew, and cyclers count one in mid-discharge, but a battery whose voltage has risen by
-- much was charged where nobody saw it
stepped as (

    select
        *,
        assigned_type = 'discharge'
        and (
            is_after_a_charge
            or is_of_another_activity
            or case
                when is_of_another_piece
                    then coalesce(cycle_count > last_cycle_count or has_risen, false)
                when is_tabular then cycle_count is distinct from last_cycle_count and has_risen
                else cycle_count is distinct from last_cycle_count
            end
        ) as is_first_step
    from risen

),

counted as (

    select
        *,
        {{ carried_on(changed, 5) }} + count(*) filter (where is_first_step) over (
            partition by battery_id order by recording_index
        ) as discharges
    from stepped

),

indexed as (

    select
        battery_id,
        recording_index,
        piece,
        piece_index,
        case
            when assigned_type = 'discharge' then discharges
            else discharges + 1
        end::int as discharge_index,
        assigned_type as recording_type,
        pulse,
        begins_at,
        ended_at,
        shift_s,
        -- a file that begins within a charge or discharge begins where the last one ended
        case
            when piece_index > 1 or recording_index = 1 then lead_in_s
            when type_before = assigned_type and not is_first_step
                then extract(epoch from begins_at - before_ended_at)::float8
            else lead_in_s
        end as lead_in_s,
        is_out_of_order,
        begins_at is null and is_dated_battery as is_undated,
        charges + {{ carried_on(changed, 6) }} > 0 as is_charge_recorded,
        -- hours later the voltage is another
        case
            when begins_at - before_ended_at < interval '1 minute' then voltage_before_v
        end as voltage_before_v
    from counted

),

final as (

    select * from indexed
    {{ only_changed_discharges(changed) }}

)

select * from final
