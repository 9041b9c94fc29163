with

recordings as (

    select * from {{ ref('int_recordings') }}

),

pieces as (

    select * from {{ ref('stg_pieces') }}

),

-- of the arrays, which stay where they are, only the ends are looked at, once
final as (

    select
        recordings.battery_id,
        recordings.piece,
        recordings.piece_index,
        recordings.recording_type,
        recordings.pulse,
        recordings.activity,
        recordings.cycle_count,
        recordings.lead_in_s,
        ends.begins_at,
        ends.begins_at + {{ seconds('ends.duration_s') }} as ended_at,
        ends.first_voltage_v,
        ends.last_voltage_v,
        largest.largest_a
    from recordings
    inner join pieces
        on
            recordings.battery_id = pieces.battery_id
            and recordings.piece = pieces.piece
    cross join
        lateral (
            select
            -- a table's dates are often whole seconds, its times are not
                case
                    when pieces.layout = 'tabular'
                        then
                            timestamp 'epoch'
                            + {{ seconds('(pieces.origin_s + recordings.time_s[1])') }}
                    else recordings.started_at
                end as begins_at,
                recordings.time_s[cardinality(recordings.time_s)]
                - recordings.time_s[1] as duration_s,
                recordings.voltage_v[1] as first_voltage_v,
                recordings.voltage_v[cardinality(recordings.voltage_v)] as last_voltage_v
            from (values (true)) as once (is_once)
            offset 0
        ) as ends
    cross join
        lateral (
            select max(abs(current_a)) as largest_a
            from unnest(recordings.current_a) as samples (current_a)
            where
                pieces.layout = 'tabular'
                and abs(current_a) < 'infinity'
        ) as largest
    {{ only_changed_pieces("pieces") }}

)

select * from final
