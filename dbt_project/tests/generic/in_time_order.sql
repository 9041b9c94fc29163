{#- Position in the file is order in time: the order in which cycles are counted. -#}
{% test in_time_order(model) %}
    select *
    from (
        select
            battery_id,
            piece,
            recording_index,
            started_at,
            lag(started_at) over (partition by battery_id, piece order by recording_index) as before
        from {{ model }}
    ) as ordered
    where started_at < before
{% endtest %}
