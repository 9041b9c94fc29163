{#-
    One run at a time: two would make the same tables. The table dbt_run holds the run that is at
    work; one whose queries are seen no more for some seconds was killed, and gives way.
-#}
{% macro dbt_run() -%}
    {{ target.schema }}_intermediate.dbt_run
{%- endmacro %}

{#- At the start of a run: take the one place, or stop and say who has it. -#}
{% macro take_the_run() %}
    {% if execute and flags.WHICH in ("run", "build", "test", "seed", "snapshot") %}
        {% set take %}
        do $$
        declare
            other record;
            deadline timestamptz := clock_timestamp() + interval '5 s';
        begin
            perform pg_advisory_xact_lock(hashtext('{{ dbt_run() }}'));
            create table if not exists {{ dbt_run() }} (
                invocation_id text not null, started_at timestamptz not null
            );
            for other in select * from {{ dbt_run() }} loop
                while clock_timestamp() < deadline loop
                    perform pg_stat_clear_snapshot();
                    if exists (
                        select from pg_stat_activity
                        where query like '%dbt ' || other.invocation_id || '%'
                    ) then
                        raise exception 'another run of dbt has been at work on this database since %: run again when it has ended',
                            date_trunc('second', other.started_at);
                    end if;
                    perform pg_sleep(0.02);
                end loop;
            end loop;
            truncate {{ dbt_run() }};
            insert into {{ dbt_run() }} values ('{{ invocation_id }}', clock_timestamp());
        end $$
        {% endset %}
        {% do run_query(take) %}
    {% endif %}
{% endmacro %}

{#- At its end, however it went. -#}
{% macro leave_the_run() %}
    {% if execute and flags.WHICH in ("run", "build", "test", "seed", "snapshot") %}
        delete from {{ dbt_run() }} where invocation_id = '{{ invocation_id }}'
    {% endif %}
{% endmacro %}
