-- Pieces of which staging does not hold as many recordings as source_file says.
select
    battery_id,
    piece,
    files.recordings as promised,
    found.recordings as found
from staging.source_file as files
full join (
    select
        battery_id,
        piece,
        count(*) as recordings
    from (
        select battery_id, piece from staging.aging_recording
        union all
        select battery_id, piece from staging.aging_impedance
        union all
        select battery_id, piece from staging.randomized_step
        union all
        select battery_id, piece from staging.tabular_recording
    ) as every
    group by battery_id, piece
) as found using (battery_id, piece)
where files.recordings is distinct from found.recordings
