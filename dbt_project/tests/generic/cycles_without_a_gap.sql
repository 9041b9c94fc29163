{#- Cycles are numbered 1, 2, … per battery: no number is missing. -#}
{% test cycles_without_a_gap(model) %}
    select battery_id
    from {{ model }}
    group by battery_id
    having min(cycle_index) <> 1 or max(cycle_index) <> count(*)
{% endtest %}
