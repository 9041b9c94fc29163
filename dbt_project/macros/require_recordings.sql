{#-
    Stop with a way out, instead of a missing relation, where nothing has been loaded yet, or where an
    earlier version did it.
-#}
{% macro require_recordings() %}
    {% if execute and flags.WHICH in ("run", "build", "test", "snapshot") %}
        {% set columns = run_query(
            "select attname from pg_attribute where attrelid = to_regclass('staging.source_file')"
        ).columns[0].values() %}
        {% if not columns %}
            {{ exceptions.raise_compiler_error(
                "database " ~ target.dbname ~ " has no recordings yet: run `python -m loader PATH` first"
            ) }}
        {% elif "piece" not in columns %}
            {{ exceptions.raise_compiler_error(
                "database " ~ target.dbname ~ " holds recordings as an earlier version left them: run "
                ~ "`python -m loader status`, which brings them over"
            ) }}
        {% endif %}
    {% endif %}
{% endmacro %}
