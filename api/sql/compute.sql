-- Compute every model from what is loaded, in the order in which dbt made them: each reads older ones.
set local jit = off;
set local enable_memoize = off;
do $$
declare
    model regclass;
begin
    for model in select oid from pg_class where relkind = 'm' order by oid loop
        execute format('refresh materialized view %s', model);
        execute format('analyze %s', model);
    end loop;
end $$;
