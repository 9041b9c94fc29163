{#- Names of the batteries that an analysis of single cells looks at: those of the variable `batteries`, else the four with the most ground truth. -#}
{% macro analysed_batteries() -%}
    {%- if var("batteries") -%}
        {%- for name in var("batteries") -%} '{{ name | replace("'", "''") }}'{{ ", " if not loop.last }} {%- endfor -%}
    {%- else -%}
        select battery_id
        from {{ ref('cycle_series') }}
        where soh_target is not null
        group by battery_id
        order by count(*) desc, battery_id
        limit 4
    {%- endif -%}
{%- endmacro %}
