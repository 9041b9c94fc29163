{#- JSON has no NaN and no infinity: Postgres writes them as strings, which no reader expects. -#}
{% test features_are_numbers(model) %}
    select model.battery_id, model.cycle_index, feature.key
    from {{ model }} as model
    cross join jsonb_each(model.features) as feature
    where jsonb_typeof(feature.value) not in ('number', 'null')
{% endtest %}
