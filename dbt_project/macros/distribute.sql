{#-
    Citus, where the variable says so: a table with batteries in it is spread over the workers by
    battery_id, a seed is copied to each. What is there already stays.
-#}
{% macro distribute(relation, is_seed=false) -%}
    {%- if var("distributed") -%}
        select {{ "create_reference_table(" if is_seed else "create_distributed_table(" }}
        {{- "'" ~ relation ~ "')" if is_seed else "'" ~ relation ~ "', 'battery_id')" }}
        where not exists (
            select from pg_dist_partition where logicalrelid = '{{ relation }}'::regclass
        )
    {%- endif -%}
{%- endmacro %}

{#- At the start of a run: the loader's tables. -#}
{% macro distribute_staging() %}
    {% if execute and flags.WHICH in ("run", "build") and var("distributed") %}
        {% for source in graph.sources.values() | sort(attribute="unique_id") %}
            {{ distribute(source.schema ~ "." ~ source.identifier) }};
        {% endfor %}
    {% endif %}
{% endmacro %}

{#-
    Before a model, in its transaction: no just-in-time compilation, which takes each of the many
    short tasks of a cluster longer than its work; what is set local there holds on the workers. Views
    stay on the coordinator, which is the one that is asked.
-#}
{% macro set_up_transaction() -%}
    {%- if config.get("materialized") == "incremental" -%}
        {% if var("distributed") -%} set local citus.propagate_set_commands = 'local'; {%- endif %}
        set local jit = off
    {%- elif var("distributed") -%}
        set local citus.enable_ddl_propagation = off
    {%- endif -%}
{%- endmacro %}

{#-
    A mart's battery_id: varchar, as agreed; where tables are spread, text as all others have it, for
    Citus puts what has another type elsewhere.
-#}
{% macro battery_key(column) -%}
    {{ column }}{{ "::varchar" if not var("distributed") }}
{%- endmacro %}
