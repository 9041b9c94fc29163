-- Where each battery's file is cut: at the end of a cycle picked by %(seed)s.
create temporary table cuts as
select distinct on (quality.battery_id)
    quality.battery_id,
    quality.cycle_index,
    recording_order.recording_index
from cycle_quality as quality
inner join public_intermediate.int_recording_order as recording_order
    on
        quality.battery_id = recording_order.battery_id
        and quality.discharge_index = recording_order.discharge_index
where
    quality.cycle_index is not null
    and recording_order.recording_type = 'discharge'
order by
    quality.battery_id,
    md5(quality.battery_id || quality.cycle_index::text || %(seed)s),
    recording_order.recording_index desc
