{#- Stop with a way out, instead of a missing relation, where nothing has been loaded yet. -#}
{% macro require_recordings() %}
    {% if execute and flags.WHICH in ("run", "build", "test", "snapshot") %}
        {% set found = run_query("select to_regclass('staging.source_file') is not null") %}
        {% if not found.rows[0][0] %}
            {{ exceptions.raise_compiler_error(
                "database " ~ target.dbname ~ " has no recordings yet: run `python -m loader PATH` first"
            ) }}
        {% endif %}
    {% endif %}
{% endmacro %}
