{#-
    Incremental by battery. The table battery_fingerprint holds, per model and battery, the fingerprint of
    the load and the checksum of the project that its rows were built from; under the model 'staging', the files that
    were there at the start of the run. The batteries that changed for a model are the difference
    between what its incremental parents, or else staging, were built from and what it was.
-#}
{% macro battery_fingerprint() -%}
    {{ target.schema }}_intermediate.battery_fingerprint
{%- endmacro %}

{#- Checksum of the models, the seeds, the macros, and the values of the variables they use. -#}
{% macro project_checksum() %}
    {% set parts = [] %}
    {% for node in graph.nodes.values() | sort(attribute="unique_id") %}
        {% if node.resource_type in ("model", "seed") %}
            {% do parts.append(node.checksum.checksum) %}
            {% for name in modules.re.findall("var\\([\\x22\\x27](\\w+)", node.raw_code) %}
                {% do parts.append(name ~ "=" ~ var(name, none)) %}
            {% endfor %}
        {% endif %}
    {% endfor %}
    {% for macro in context.get(project_name, {}).values() | sort(attribute="macro.unique_id") %}
        {% do parts.append(macro.macro.macro_sql) %}
        {% for name in modules.re.findall("var\\([\\x22\\x27](\\w+)", macro.macro.macro_sql) %}
            {% do parts.append(name ~ "=" ~ var(name, none)) %}
        {% endfor %}
    {% endfor %}
    {% do return(local_md5(parts | join(" "))) %}
{% endmacro %}

{#- At the start of a run: note the files that staging holds. -#}
{% macro note_batteries() %}
    {% if execute and flags.WHICH in ("run", "build") %}
        drop table if exists {{ target.schema }}_intermediate.battery_build;  -- its name until 0.1
        create table if not exists {{ battery_fingerprint() }} (
            model text,
            battery_id text,
            fingerprint text not null,
            project text not null,
            primary key (model, battery_id)
        );
        {{ note("staging", "select battery_id, coalesce(fingerprint, sha256), '" ~ project_checksum() ~ "' from staging.source_file") }}
    {% endif %}
{% endmacro %}

{#- After a model, in its transaction: note what it is built from. -#}
{% macro note_built() %}
    {% if execute %}
        {{ note(this.identifier, noted_for(incremental_parents(model.unique_id) or ["staging"])) }}
    {% endif %}
{% endmacro %}

{% macro note(model_name, query) %}
    delete from {{ battery_fingerprint() }}
    where
        model = '{{ model_name }}'
        and (battery_id, fingerprint, project) not in ({{ query }});
    insert into {{ battery_fingerprint() }} (model, battery_id, fingerprint, project)
    select '{{ model_name }}', noted.* from ({{ query }}) as noted
    on conflict do nothing
{% endmacro %}

{#- What all these models were built from. -#}
{% macro noted_for(models) -%}
    select battery_id, fingerprint, project from {{ battery_fingerprint() }}
    where model in ('{{ models | join("', '") }}')
    group by battery_id, fingerprint, project
    having count(*) = {{ models | length }}
{%- endmacro %}

{#- Names of the nearest incremental models that a model reads, through views. -#}
{% macro incremental_parents(unique_id) %}
    {% set found = [] %}
    {% for parent in graph.nodes[unique_id].depends_on.nodes if parent in graph.nodes %}
        {% if graph.nodes[parent].config.materialized == "incremental" %}
            {% do found.append(graph.nodes[parent].name) %}
        {% else %}
            {% do found.extend(incremental_parents(parent)) %}
        {% endif %}
    {% endfor %}
    {% do return(found | unique | list) %}
{% endmacro %}

{#- dbt asks this of every incremental model: rebuild it whole? Yes too where the project changed. -#}
{% macro should_full_refresh() %}
    {% set is_full = config.get("full_refresh") or flags.FULL_REFRESH %}
    {% if not is_full and execute and config.get("materialized") == "incremental" %}
        {% set built = run_query(
            "select coalesce(bool_and(project = '" ~ project_checksum() ~ "'), false) from "
            ~ battery_fingerprint() ~ " where model = '" ~ this.identifier ~ "'"
        ) %}
        {% set is_full = not built.rows[0][0] %}
    {% endif %}
    {% do return(is_full) %}
{% endmacro %}

{#- Names of the batteries that are new, gone or loaded from another file since `this` was built. -#}
{% macro changed_batteries() %}
    {% set wanted = noted_for(incremental_parents(model.unique_id) or ["staging"]) %}
    {% set built = noted_for([this.identifier]) %}
    {% set changed = run_query(
        "select distinct battery_id from ((" ~ wanted ~ " except " ~ built ~ ") union all ("
        ~ built ~ " except " ~ wanted ~ ")) as changed order by battery_id"
    ) %}
    {% do return(changed.columns[0].values() | list) %}
{% endmacro %}

{#- Names as constants, because Postgres pushes these, and no join, down through window functions. -#}
{% macro in_changed_batteries() -%}
    {%- set names = changed_batteries() -%}
    {%- if names -%}
        battery_id in ({% for name in names %}'{{ name | replace("'", "''") }}'{{ ", " if not loop.last }}{% endfor %})
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro %}

{#- Within a model, after its imports; a unit test has no `this`. -#}
{% macro only_changed_batteries() -%}
    {%- if this and is_incremental() -%} where {{ in_changed_batteries() }} {%- endif -%}
{%- endmacro %}

{#- Before a model, in its transaction: what it is about to write again, and what is gone. -#}
{% macro delete_changed_batteries() -%}
    {%- if is_incremental() -%} delete from {{ this }} where {{ in_changed_batteries() }} {%- endif -%}
{%- endmacro %}
