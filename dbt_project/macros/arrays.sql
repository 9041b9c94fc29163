{#- Flip the sign of every element of a float8[] column; order and NaN stay. -#}
{% macro negated(samples) -%}
    array(select -sample from unnest({{ samples }}) as samples (sample))
{%- endmacro %}

{#- A MATLAB date vector [year, month, day, hour, minute, second] as a timestamp. -#}
{% macro timestamp_from(date_vector) -%}
    make_timestamp(
        {{ date_vector }}[1]::int, {{ date_vector }}[2]::int, {{ date_vector }}[3]::int,
        {{ date_vector }}[4]::int, {{ date_vector }}[5]::int, {{ date_vector }}[6]
    )
{%- endmacro %}
