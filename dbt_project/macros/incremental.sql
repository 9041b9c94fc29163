{#-
    Incremental by battery, and within a battery from the first discharge that a new piece can change.

    The table battery_fingerprint holds, per model and battery, the fingerprint of the pieces and the
    checksum of the project that its rows were built from; under the model 'staging', what was there
    at the start of the run. The batteries that changed for a model are the difference between what
    its incremental parents, or else staging, were built from and what it was. Of what a battery was
    to what it is, battery_change tells the earliest piece, by the time it begins, that came, went or
    changed; battery_piece is what it is found by. What began before that time stays as it is.
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

{#- What a model is built from, from the first changed piece, discharge or cycle on, or by the battery. -#}
{% macro grain() %}
    {% do return(model.config.meta.get("grain", "battery_id")) %}
{% endmacro %}

{#-
    The batteries that are new, gone or changed since `this` was built, each with the time, the
    discharge and the cycle from which on it is to be built again. A file's last discharge may go on
    in the next file, and a pulse at its end be part of another one: two discharges are built again
    beside those that have changed. Where recordings are put in order, what is counted goes on from
    the discharge before: its first recording, its number, and whether there was a charge by then.
-#}
{% macro changed_batteries() %}
    {% set query %}
        with

        wanted as ({{ noted_for(incremental_parents(model.unique_id) or ["staging"]) }}),

        built as ({{ noted_for([this.identifier]) }}),

        changed as (
            select
                battery_id,
                coalesce(
                    (
                        select change.begins_s from {{ bookkeeping("battery_change") }} as change
                        where
                            change.battery_id = coalesce(wanted.battery_id, built.battery_id)
                            and change.before = built.fingerprint
                            and change.after = wanted.fingerprint
                            and built.project = wanted.project
                    ),
                    '-infinity'
                ) as from_s
            from wanted
            full join built using (battery_id)
            where (wanted.fingerprint, wanted.project) is distinct from (built.fingerprint, built.project)
        )

        select
            changed.battery_id,
            changed.from_s::text,
            {% if grain() in ("discharge_index", "cycle_index") %}
                bound.from_discharge
            {% else %}
                null
            {% endif %},
            {% if grain() == "cycle_index" %}
                1 + (
                    select count(*) from {{ bookkeeping("int_verdicts") }} as verdicts
                    where
                        verdicts.battery_id = changed.battery_id
                        and verdicts.is_usable
                        and verdicts.discharge_index < bound.from_discharge
                )
            {% else %}
                null
            {% endif %}
            {% if model.name == "int_recording_order" %}
                , coalesce(start.recording_index, 1),
                case when start.recording_index is null then 0 else bound.from_discharge - 2 end,
                coalesce(start.charges, 0)
            {% endif %}
        from changed
        {% if grain() in ("discharge_index", "cycle_index") %}
            cross join lateral (
                select coalesce(greatest(max(recording_order.discharge_index) - 2, 1), 1) as from_discharge
                from {{ bookkeeping("int_recording_order") }} as recording_order
                inner join {{ bookkeeping("battery_piece") }} as pieces
                    on
                        recording_order.battery_id = pieces.battery_id
                        and recording_order.piece = pieces.piece
                where
                    recording_order.battery_id = changed.battery_id
                    and pieces.begins_s < changed.from_s
            ) as bound
        {% endif %}
        {% if model.name == "int_recording_order" %}
            left join lateral (
                select
                    min(recording_order.recording_index) as recording_index,
                    bool_or(recording_order.is_charge_recorded)::int as charges
                from {{ this }} as recording_order
                where
                    recording_order.battery_id = changed.battery_id
                    and recording_order.discharge_index = bound.from_discharge - 1
                    and recording_order.recording_type = 'discharge'
            ) as start on true
        {% endif %}
        order by changed.battery_id
    {% endset %}
    {% do return(run_query(query).rows) %}
{% endmacro %}

{#- Names as constants, because Postgres pushes these, and no join, down through window functions. -#}
{% macro in_batteries(changed, battery_id) -%}
    {%- if changed -%}
        {{ battery_id }} in ({% for row in changed %}'{{ row[0] | replace("'", "''") }}'{{ ", " if not loop.last }}{% endfor %})
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro %}

{#- The bound of each battery in one constant: by it, too, Postgres filters before it joins. -#}
{% macro from_bound(changed, column, of_type, battery_id) -%}
    {%- set bounds = {} -%}
    {%- for row in changed -%} {%- do bounds.update({row[0]: row[column] | string}) -%} {%- endfor -%}
    ('{{ tojson(bounds) | replace("'", "''") }}'::jsonb ->> {{ battery_id }})::{{ of_type }}
{%- endmacro %}

{#- Within a model, after its imports: the batteries that changed. A unit test has no `this`. -#}
{% macro only_changed_batteries(relation="") -%}
    {%- if this and is_incremental() -%}
        where {{ in_batteries(changed_batteries(), relation ~ "." ~ "battery_id" if relation else "battery_id") }}
    {%- endif -%}
{%- endmacro %}

{#- Of these, the discharges that may have changed. -#}
{% macro only_changed_discharges() -%}
    {%- if this and is_incremental() -%}
        {%- set changed = changed_batteries() -%}
        where
            {{ in_batteries(changed, "battery_id") }}
            and discharge_index >= {{ from_bound(changed, 2, "int", "battery_id") }}
    {%- endif -%}
{%- endmacro %}

{#- What a count goes on from, of a column of changed_batteries: 0 where all is counted. -#}
{% macro carried_on(column) -%}
    {%- if this and is_incremental() -%}
        {{ from_bound(changed_batteries(), column, "int", "battery_id") }}
    {%- else -%}
        0
    {%- endif -%}
{%- endmacro %}

{#- Of these, the pieces of the relation that have changed, and what comes after them. -#}
{% macro only_changed_pieces(relation) -%}
    {%- if this and is_incremental() -%}
        {%- set changed = changed_batteries() -%}
        where
            {{ in_batteries(changed, relation ~ ".battery_id") }}
            and coalesce({{ relation }}.begins_s, '-infinity')
            >= {{ from_bound(changed, 1, "float8", relation ~ ".battery_id") }}
    {%- endif -%}
{%- endmacro %}

{#- Before a model, in its transaction: what it is about to write again, and what is gone. -#}
{% macro delete_changed_batteries() -%}
    {%- if is_incremental() -%}
        {%- set changed = changed_batteries() -%}
        delete from {{ this }} as built
        where
            {{ in_batteries(changed, "battery_id") }}
            {% if grain() == "piece" -%}
                and not exists (
                    select from {{ bookkeeping("battery_piece") }} as pieces
                    where
                        pieces.battery_id = built.battery_id
                        and pieces.piece = built.piece
                        and pieces.begins_s < {{ from_bound(changed, 1, "float8", "built.battery_id") }}
                )
            {%- elif grain() == "discharge_index" -%}
                and discharge_index >= {{ from_bound(changed, 2, "int", "battery_id") }}
            {%- elif grain() == "cycle_index" -%}
                and cycle_index >= {{ from_bound(changed, 3, "int", "battery_id") }}
            {%- endif -%}
    {%- endif -%}
{%- endmacro %}
