-- Stands in for the Citus extension: notes what would be distributed, and how.
create table pg_dist_partition (logicalrelid regclass, distributed_by text);
create function create_distributed_table(regclass, text) returns void
language sql as 'insert into pg_dist_partition values ($1, $2)';
create function create_reference_table(regclass) returns void
language sql as 'insert into pg_dist_partition values ($1, null)';
