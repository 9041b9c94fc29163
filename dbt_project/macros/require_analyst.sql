{#- At the start of a run: the read-only role that may select from the marts. It cannot log in. -#}
{% macro require_analyst() %}
    {% if execute and flags.WHICH in ("run", "build", "snapshot") %}
        {% do run_query(
            "do $$ begin if to_regrole('analyst') is null then create role analyst nologin; end if; "
            ~ "exception when duplicate_object or unique_violation or insufficient_privilege then null; "
            ~ "end $$"
        ) %}
        {% if run_query("select to_regrole('analyst') is null").rows[0][0] %}
            {{ exceptions.raise_compiler_error(
                "user " ~ target.user ~ " may not create the role that reads the marts: "
                ~ "have an administrator run `create role analyst` once"
            ) }}
        {% endif %}
    {% endif %}
{% endmacro %}

{#- And the schema, once there is no other run beside this one: in public everybody may look as it is. -#}
{% macro open_schema_to_analyst() %}
    {% if execute and flags.WHICH in ("run", "build", "snapshot") %}
        {% set schema = adapter.quote(target.schema) %}
        {% if not run_query("select has_schema_privilege('analyst', '" ~ schema ~ "'::regnamespace, 'usage')").rows[0][0] %}
            grant usage on schema {{ schema }} to analyst
        {% endif %}
    {% endif %}
{% endmacro %}
