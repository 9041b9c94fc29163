{#- The grain of a model: no two rows share the named columns, and none of them is null. -#}
{% test one_row_per(model, columns) %}
    select {{ columns | join(", ") }}, count(*) as copies
    from {{ model }}
    group by {{ columns | join(", ") }}
    having count(*) > 1 or num_nulls({{ columns | join(", ") }}) > 0
{% endtest %}
