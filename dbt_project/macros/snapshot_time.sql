{#- The time that a snapshot notes: dbt's own has no time zone. -#}
{% macro postgres__snapshot_get_time() -%}
    {{ current_timestamp() }}
{%- endmacro %}
