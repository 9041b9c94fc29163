{#-
    What holds for a battery, whatever pieces its recordings come in: what the loads said last, and
    what all pieces tell of the cell, in so few digits that one more day seldom changes it.
-#}
{% macro battery_facts(pieces) -%}
    select
        battery_id,
        min(layout) as layout,
        -- what loader.simulate writes begins so
        bool_or(coalesce(description like 'Simulated, not a measurement%', false)) as is_simulated,
        {% for fact in ["rated_capacity_ah", "cutoff_v", "full_charge_v", "ambient_temperature_c"] -%}
            (
                array_agg({{ fact }} order by loaded_at desc, piece) filter (
                    where {{ fact }} is not null
                )
            )[1] as {{ fact }},
        {% endfor -%}
        {{ significant('max(largest_current_a)', 2) }} as largest_current_a,
        {{ significant('max(charge_limit_v)', 3) }} as charge_limit_v
    from {{ pieces }}
    group by battery_id
{%- endmacro %}

{#- A positive number, rounded to so many significant digits. -#}
{% macro significant(number, digits) -%}
    case
        when {{ number }} > 0 and {{ number }} < 'infinity'
            then round(
                ({{ number }})::numeric, {{ digits - 1 }} - floor(log({{ number }}))::int
            )::float8
    end
{%- endmacro %}
