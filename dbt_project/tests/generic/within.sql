{#-
    Every value that is there lies between low and high, times a fact of the battery: bounds that fit a
    coin cell fit a pack. NaN does not.
-#}
{% test within(model, column_name, low, high, of=1) %}
    select
        model.battery_id,
        model.cycle_index,
        model.{{ column_name }}
    from {{ model }} as model
    inner join {{ ref('battery_summary') }} as batteries
        on model.battery_id = batteries.battery_id
    where
        model.{{ column_name }} not between {{ low }} * ({{ of }})::float8
        and {{ high }} * ({{ of }})::float8
{% endtest %}
