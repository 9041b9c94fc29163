{#-
    Incremental by battery, and within a battery from the first discharge that a new piece can change.
    Which batteries changed for a model, and from when on, is noted in macros/changes.sql; what began
    before the earliest piece that changed stays as it is.
-#}

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
        select battery_id, begins_s::text from ({{ due(model.unique_id) }}) as due
        order by battery_id
    {% endset %}
    {% set changed = run_query(query).rows %}
    {% if changed and grain() in ("discharge_index", "cycle_index") %}
        {% set bounds = {} %}
        {% for row in run_query(first_changes(changed)).rows %} {% do bounds.update({row[0]: row}) %} {% endfor %}
        {% set bounded = [] %}
        {% for row in changed %}
            {% do bounded.append([row[0], row[1]] + (bounds[row[0]] | list)[1:] if row[0] in bounds else [row[0], row[1], 1, 1, 1, 0, 0]) %}
        {% endfor %}
        {% do return(bounded) %}
    {% endif %}
    {% do return(changed) %}
{% endmacro %}

{#-
    Of batteries with their times: from which discharge and cycle on they changed, and what is counted
    goes on from there; no row for one that changed whole. Constants, and one join by battery: so it is
    answered where the battery lies.
-#}
{% macro first_changes(changed) -%}
    with

    bounds as (
        select
            recording_order.battery_id,
            greatest(max(recording_order.discharge_index) - 2, 1) as from_discharge
        from {{ bookkeeping("int_recording_order") }} as recording_order
        inner join staging.source_file as pieces
            on
                recording_order.battery_id = pieces.battery_id
                and recording_order.piece = pieces.piece
        where
            {{ in_batteries(changed, "recording_order.battery_id") }}
            and {{ in_batteries(changed, "pieces.battery_id") }}
            and coalesce(pieces.begins_s, '-infinity')
            < {{ from_bound(changed, 1, "float8", "recording_order.battery_id") }}
        group by recording_order.battery_id
    )

    select
        bounds.battery_id,
        bounds.from_discharge,
    {% if grain() == "cycle_index" %}
        1 + count(verdicts.discharge_index)
        from bounds
        left join {{ bookkeeping("int_verdicts") }} as verdicts
            on
                bounds.battery_id = verdicts.battery_id
                and {{ in_batteries(changed, "verdicts.battery_id") }}
                and verdicts.is_usable
                and verdicts.discharge_index < bounds.from_discharge
    {% elif model.name == "int_recording_order" %}
        null,
        coalesce(min(start.recording_index), 1),
        case when min(start.recording_index) is null then 0 else bounds.from_discharge - 2 end,
        coalesce(bool_or(start.is_charge_recorded)::int, 0)
        from bounds
        left join {{ this }} as start
            on
                bounds.battery_id = start.battery_id
                and {{ in_batteries(changed, "start.battery_id") }}
                and start.discharge_index = bounds.from_discharge - 1
                and start.recording_type = 'discharge'
    {% else %}
        null
        from bounds
    {% endif %}
    group by bounds.battery_id, bounds.from_discharge
{%- endmacro %}

{#- The same, for a model that asks more than once; none where all is built, and in a unit test. -#}
{% macro batteries_to_build() %}
    {% do return(changed_batteries() if this and is_incremental() else []) %}
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

{#-
    Within a model, after its imports: the batteries that changed; `changed` where the model has them
    at hand, for it asks more than once. A unit test has no `this`.
-#}
{% macro only_changed_batteries(relation="", changed=none) -%}
    {%- if this and is_incremental() -%}
        where {{ in_batteries(changed or changed_batteries(), relation ~ "." ~ "battery_id" if relation else "battery_id") }}
    {%- endif -%}
{%- endmacro %}

{#- Of these, the discharges that may have changed. -#}
{% macro only_changed_discharges(changed=none) -%}
    {%- if this and is_incremental() -%}
        {%- set changed = changed or changed_batteries() -%}
        where
            {{ in_batteries(changed, "battery_id") }}
            and discharge_index >= {{ from_bound(changed, 2, "int", "battery_id") }}
    {%- endif -%}
{%- endmacro %}

{#- What a count goes on from, of a column of changed_batteries: 0 where all is counted. -#}
{% macro carried_on(changed, column) -%}
    {%- if this and is_incremental() -%}
        {{ from_bound(changed, column, "int", "battery_id") }}
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
                    select from staging.source_file as pieces
                    where
                        pieces.battery_id = built.battery_id
                        and pieces.piece = built.piece
                        and coalesce(pieces.begins_s, '-infinity')
                        < {{ from_bound(changed, 1, "float8", "built.battery_id") }}
                )
            {%- elif grain() == "discharge_index" -%}
                and discharge_index >= {{ from_bound(changed, 2, "int", "battery_id") }}
            {%- elif grain() == "cycle_index" -%}
                and cycle_index >= {{ from_bound(changed, 3, "int", "battery_id") }}
            {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#-
    After a model that others join, in its transaction: what the planner knows of it, where a tenth is
    new. Else the next models are planned for an empty table.
-#}
{% macro analyze_where_grown() -%}
    {%- if var("distributed") -%}
        analyze {{ this }}  -- the coordinator counts no rows
    {%- else -%}
        do $$ begin
            if (
                select
                    pg_stat_get_mod_since_analyze(oid) + pg_stat_get_xact_tuples_inserted(oid)
                    > 0.1 * greatest(reltuples, 0)
                from pg_class
                where oid = '{{ this }}'::regclass
            ) then
                analyze {{ this }};
            end if;
        end $$
    {%- endif -%}
{%- endmacro %}
