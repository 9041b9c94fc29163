{#- Every value that is there lies between low and high; NaN does not. -#}
{% test within(model, column_name, low, high) %}
    select {{ column_name }}
    from {{ model }}
    where {{ column_name }} not between {{ low }} and {{ high }}
{% endtest %}
