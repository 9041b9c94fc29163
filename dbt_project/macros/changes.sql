{#-
    What each model has still to build, so that of a battery that changed only the changed part is
    built again: macros/incremental.sql. A run costs by what changed, not by how many batteries there
    are, but for one comparison of the pieces.

    The table battery_piece holds the pieces that were there at the last run. battery_due tells, per
    model and battery, from when on the pieces have changed since the model was built; its row goes
    when that has been done. built_model holds the checksum of the project that a model's rows were
    built by.
-#}
{% macro bookkeeping(name) -%} {{ target.schema }}_intermediate.{{ name }} {%- endmacro %}

{#-
    Checksum of the models, the seeds, the macros, and the values of the variables they use; of what
    is made of features, not of what is made of forecasts.
-#}
{% macro project_checksum() %}
    {% set parts = [] %}
    {% for node in graph.nodes.values() | sort(attribute="unique_id") %}
        {% if node.resource_type in ("model", "seed") and "forecasting" not in node.fqn and node.name != "alert_rule" %}
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

{#- At the start of a run: note which batteries have changed since the last one, and from when on. -#}
{% macro note_batteries() %}
    {% if execute and flags.WHICH in ("run", "build") %}
        {% set models = [] %}
        {% for node in graph.nodes.values() if is_incremental_model(node) %} {% do models.append(node.name) %} {% endfor %}
        -- their names until 0.1
        drop table if exists
            {{ bookkeeping("battery_build") }},
            {{ bookkeeping("battery_fingerprint") }},
            {{ bookkeeping("battery_change") }};
        create table if not exists {{ bookkeeping("battery_piece") }} (
            battery_id text,
            piece text,
            fingerprint text not null,
            begins_s float8 not null,
            primary key (battery_id, piece)
        );
        create table if not exists {{ bookkeeping("battery_due") }} (
            model text,
            battery_id text,
            begins_s float8 not null,
            primary key (model, battery_id)
        );
        create table if not exists {{ bookkeeping("built_model") }} (
            model text primary key,
            project text not null
        );
        create temporary table piece_now on commit drop as {{ pieces_now() }};
        create temporary table different on commit drop as
        select battery_id, min(begins_s) as begins_s
        from (
            (table piece_now except table {{ bookkeeping("battery_piece") }})
            union all
            (table {{ bookkeeping("battery_piece") }} except table piece_now)
        ) as pieces
        group by battery_id;
        insert into {{ bookkeeping("battery_due") }} as known (model, battery_id, begins_s)
        select model, battery_id, begins_s
        from different cross join unnest('{ {{- models | join(",") -}} }'::text[]) as model
        on conflict (model, battery_id)
        do update set begins_s = least(known.begins_s, excluded.begins_s);
        delete from {{ bookkeeping("battery_piece") }} as known using different
        where known.battery_id = different.battery_id;
        insert into {{ bookkeeping("battery_piece") }} (battery_id, piece, fingerprint, begins_s)
        select piece_now.* from piece_now inner join different using (battery_id)
    {% endif %}
{% endmacro %}

{#- Every piece in staging, and without a name what holds for the whole battery. -#}
{% macro pieces_now() -%}
    select
        battery_id,
        piece,
        coalesce(fingerprint, sha256) as fingerprint,
        coalesce(begins_s, '-infinity') as begins_s
    from staging.source_file
    union all
    select battery_id, '', md5(facts::text), '-infinity'
    from ({{ battery_facts('staging.source_file') }}) as facts
{%- endmacro %}

{#- Which batteries a model has to build: those that the models it reads have built by now. -#}
{% macro due(unique_id) -%}
    select battery_id, begins_s from {{ bookkeeping("battery_due") }} as own
    where
        model = '{{ graph.nodes[unique_id].name }}'
        and not exists (
            select from {{ bookkeeping("battery_due") }} as parents
            where
                parents.battery_id = own.battery_id
                and parents.model in ('{{ incremental_parents(unique_id) | join("', '") }}')
        )
{%- endmacro %}

{#- After a model, in its transaction: what was due is done. What reads a model built anew is, too. -#}
{% macro note_built() %}
    {% if execute %}
        delete from {{ bookkeeping("battery_due") }} as done
        using ({{ due(model.unique_id) }}) as due
        where done.model = '{{ this.identifier }}' and done.battery_id = due.battery_id;
        {% if not is_incremental() %}
            delete from {{ bookkeeping("built_model") }}
            where model in ('{{ incremental_children(model) | join("', '") }}');
            insert into {{ bookkeeping("built_model") }} (model, project)
            values ('{{ this.identifier }}', '{{ project_checksum() }}')
            on conflict (model) do update set project = excluded.project
        {% endif %}
    {% endif %}
{% endmacro %}

{% macro is_incremental_model(node) -%}
    {%- do return(node.resource_type == "model" and node.config.materialized == "incremental") -%}
{%- endmacro %}

{#- Names of the incremental models for which a model is one of the nearest. -#}
{% macro incremental_children(of) %}
    {% set found = [] %}
    {% for node in graph.nodes.values() if is_incremental_model(node) %}
        {% if of.name in incremental_parents(node.unique_id) %} {% do found.append(node.name) %} {% endif %}
    {% endfor %}
    {% do return(found) %}
{% endmacro %}

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
            "select project from " ~ bookkeeping("built_model") ~ " where model = '" ~ this.identifier
            ~ "' and project = '" ~ project_checksum() ~ "'"
        ) %}
        {% set is_full = built.rows | length == 0 %}
    {% endif %}
    {% do return(is_full) %}
{% endmacro %}
