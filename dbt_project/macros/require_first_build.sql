{#-
    Stop with a way out where `dbt run` comes first: it makes neither seeds nor snapshots, which models
    read.
-#}
{% macro require_first_build() %}
    {% if execute and flags.WHICH == "run" %}
        {% for it in graph.nodes.values() if it.resource_type in ("seed", "snapshot") %}
            {% if not load_relation(api.Relation.create(it.database, it.schema, it.alias)) %}
                {{ exceptions.raise_compiler_error(
                    "database " ~ target.dbname ~ " has no " ~ it.name ~ " yet, which `run` does not make: run "
                    ~ "`python -m dbt_project build` once; from then on `run` rebuilds the features, too"
                ) }}
            {% endif %}
        {% endfor %}
    {% endif %}
{% endmacro %}
