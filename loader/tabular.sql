-- Samples of CSV and Parquet files under this project's names. DuckDB's dialect, not PostgreSQL's:
-- each name in braces becomes a column of the files or null, the last one the function that reads.
create temporary view samples as
select
    {battery}::varchar as battery_id,
    coalesce({time}::double, 'nan') as time_s,
    coalesce({voltage}::double, 'nan') as voltage_v,
    {sign} * coalesce({current}::double, 'nan') as current_a,
    coalesce({temperature}::double, {ambient}::double, 'nan') as temperature_c,
    coalesce({ambient}::double, 'nan') as ambient_temperature_c,
    coalesce({cycle}::double, 'nan') as cycle_count,
    coalesce({step}::double, 'nan') as step_count,
    coalesce({unix_time}::double, 'nan') as unix_time_s
from {reader}
