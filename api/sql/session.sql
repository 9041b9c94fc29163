-- What every connection of the service is: read-only, bounded in time, the role `analyst` where
-- dbt has made it; on Citus, which goes on to the workers as that role, only where it may log in.
set default_transaction_read_only = on;
set statement_timeout = '5s';
select set_config('role', rolname, false)
from pg_roles
where rolname = 'analyst' and pg_has_role(oid, 'member')
    and (rolcanlogin or to_regclass('pg_dist_partition') is null);
