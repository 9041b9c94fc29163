{#- Warn, by name, of each comment in the recordings that seeds/randomized_comment.csv lacks. -#}
{% macro name_unknown_comments() %}
    {% set steps = ref("stg_randomized__steps") %}
    {% if execute and flags.WHICH in ("run", "build") and load_relation(steps) %}
        {% set unknown = run_query(
            "select comment, string_agg(distinct battery_id, ', ') from " ~ steps
            ~ " where activity is null group by comment order by comment"
        ) %}
        {% for row in unknown.rows %}
            {% do exceptions.warn(
                "unknown comment '" ~ row[0] ~ "' in the steps of " ~ row[1]
                ~ ": left out; add it to dbt_project/seeds/randomized_comment.csv"
            ) %}
        {% endfor %}
    {% endif %}
{% endmacro %}
