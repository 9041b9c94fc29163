-- What has been loaded from files, by their checksums, read the same way; or what has replaced it.
select
    battery_id,
    file_name,
    false as is_replaced,
    parts
from staging.source_file
where
    parts && %(parts)s
    and reading = %(reading)s
    and readers = %(readers)s
    and (battery_id = %(battery_id)s or %(battery_id)s = '')
union all
select
    battery_id,
    replaced_by,
    true,
    parts
from staging.replaced_file
where
    parts && %(parts)s
    and reading = %(reading)s
    and (battery_id = %(battery_id)s or %(battery_id)s = '')
