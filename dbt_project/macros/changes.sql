{#-
    What each model was built from, so that of a battery that changed only the changed part is built
    again: macros/incremental.sql.

    The table battery_fingerprint holds, per model and battery, the fingerprint of the pieces and the
    checksum of the project that its rows were built from; under the model 'staging', what was there
    at the start of the run. battery_piece holds the pieces that were there. battery_change tells, of
    what a battery was to what it is, when the earliest piece begins that came, went or changed.
-#}
{% macro battery_fingerprint() -%} {{ bookkeeping("battery_fingerprint") }} {%- endmacro %}

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

{#- At the start of a run: note the pieces that staging holds, and from when on they have changed. -#}
{% macro note_batteries() %}
    {% if execute and flags.WHICH in ("run", "build") %}
        drop table if exists {{ bookkeeping("battery_build") }};  -- its name until 0.1
        create table if not exists {{ battery_fingerprint() }} (
            model text,
            battery_id text,
            fingerprint text not null,
            project text not null,
            primary key (model, battery_id)
        );
        create table if not exists {{ bookkeeping("battery_piece") }} (
            battery_id text,
            piece text,
            fingerprint text not null,
            begins_s float8 not null,
            primary key (battery_id, piece)
        );
        create table if not exists {{ bookkeeping("battery_change") }} (
            battery_id text,
            before text,
            after text,
            begins_s float8 not null,
            primary key (battery_id, before, after)
        );
        {{ note_changes() }};
        delete from {{ bookkeeping("battery_piece") }}
        where (battery_id, piece, fingerprint, begins_s) not in ({{ pieces_now() }});
        insert into {{ bookkeeping("battery_piece") }} (battery_id, piece, fingerprint, begins_s)
        {{ pieces_now() }}
        on conflict do nothing;
        {{ note("staging", fingerprints("select *, '" ~ project_checksum() ~ "' as project from (" ~ pieces_now() ~ ") as pieces")) }}
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

{#- The fingerprint of each battery, of those of its pieces. -#}
{% macro fingerprints(pieces) -%}
    select battery_id, md5(string_agg(fingerprint, ' ' order by begins_s, piece)), min(project)
    from ({{ pieces }}) as pieces
    group by battery_id
{%- endmacro %}

{#- Compare the pieces with those of the last run; a model that missed that one is behind it, too. -#}
{% macro note_changes() -%}
    with

    now as ({{ pieces_now() }}),

    changes as (
        select battery_id, min(begins_s) as begins_s
        from (
            (select * from now except table {{ bookkeeping("battery_piece") }})
            union all
            (table {{ bookkeeping("battery_piece") }} except select * from now)
        ) as different
        group by battery_id
    ),

    steps as (
        select changes.*, earlier.fingerprint as before, later.fingerprint as after
        from changes
        inner join {{ battery_fingerprint() }} as earlier
            on changes.battery_id = earlier.battery_id and earlier.model = 'staging'
        inner join ({{ fingerprints("select *, '' as project from now") }}) as later (battery_id, fingerprint)
            on changes.battery_id = later.battery_id
    ),

    wanted as (
        select battery_id, before, after, begins_s from steps
        union all
        select steps.battery_id, known.before, steps.after, least(known.begins_s, steps.begins_s)
        from steps
        inner join {{ bookkeeping("battery_change") }} as known
            on steps.battery_id = known.battery_id and steps.before = known.after
    ),

    outdated as (
        delete from {{ bookkeeping("battery_change") }} as known using steps
        where known.battery_id = steps.battery_id
    )

    insert into {{ bookkeeping("battery_change") }} (battery_id, before, after, begins_s)
    select battery_id, before, after, min(begins_s) from wanted
    where before in (select fingerprint from {{ battery_fingerprint() }} where model <> 'staging')
    group by battery_id, before, after
    on conflict (battery_id, before, after) do update set begins_s = excluded.begins_s
{%- endmacro %}

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
