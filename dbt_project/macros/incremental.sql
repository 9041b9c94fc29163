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
        with

        changed as (select battery_id, begins_s as from_s from ({{ due(model.unique_id) }}) as due)

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

{#-
    After a model that others join, in its transaction: what the planner knows of it, where a tenth is
    new. Else the next models are planned for an empty table.
-#}
{% macro analyze_where_grown() -%}
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
{%- endmacro %}
