{#- A float8, or null where it is NaN or infinite: Postgres orders NaN above infinity. -#}
{% macro finite(number) -%}
    case when abs({{ number }}) < 'infinity' then {{ number }} end
{%- endmacro %}

{#- A temperature, °C, or null: a sensor that reads further out is broken, not hot or cold. -#}
{% macro sensible(temperature) -%}
    case when {{ temperature }} between -60 and 150 then {{ temperature }} end
{%- endmacro %}

{#-
    A resistance, ohm, or null: no cell is below zero or above the limit, lost contacts are. `size_a`
    is the current that empties the cell in an hour, A.
-#}
{% macro plausible(resistance, size_a) -%}
    case
        when
            {{ resistance }} > 0
            and {{ resistance }} < {{ var('maximum_resistance_drop_v') }} / {{ size_a }}
            then {{ resistance }}
    end
{%- endmacro %}

{#- Hours from one timestamp to another; null where the clock runs back by more than its second, or by ten years ahead. -#}
{% macro hours_between(start, finish) -%}
    case
        when {{ finish }} - {{ start }} between interval '-1 second' and interval '10 years'
            then greatest(extract(epoch from {{ finish }} - {{ start }})::float8 / 3600, 0)
    end
{%- endmacro %}

{#- The value of the first recording under load in a group of recordings. -#}
{% macro first(column) -%}
    (array_agg({{ column }} order by samples is null, recording_index))[1]
{%- endmacro %}
