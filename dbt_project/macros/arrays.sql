{#- Flip the sign of every element of a float8[] column; order and NaN stay. -#}
{% macro negated(samples) -%}
    array(select -sample from unnest({{ samples }}) as samples (sample))
{%- endmacro %}

{#-
    How a recording is sampled: gap_s, s, above which an interval is a gap, null where none is; the
    mean of the other intervals, usual_s, and the median of the falls of voltage over them,
    usual_fall_v; longest_s, which no interval that is none exceeds. The percentiles are sought only
    where the longest interval stands out: to sort every recording would cost as much as all else.
-#}
{% macro sampling(recording) -%}
    select
        gaps.gap_s,
        usual.usual_s,
        usual.usual_fall_v,
        greatest(spread.longest_s, {{ var('gap_factor') }} * spread.mean_s) as longest_s
    from (
        select
            max(t1 - t0) filter (where t1 - t0 < 'infinity') as longest_s,
            (
                {{ recording }}.time_s[cardinality({{ recording }}.time_s)]
                - {{ recording }}.time_s[1]
            ) / nullif(count(*), 0) as mean_s
        from {{ steps(recording) }}
    ) as spread
    cross join lateral (
        select
            {{ var('gap_factor') }}
            * percentile_disc(0.9) within group (order by t1 - t0) as gap_s
        from {{ steps(recording) }}
        where
            spread.longest_s > {{ var('gap_factor') }} * spread.mean_s
            and t1 > t0
    ) as gaps
    cross join lateral (
        select
            avg(t1 - t0) as usual_s,
            percentile_disc(0.5) within group (order by abs(v0 - v1)) as usual_fall_v
        from {{ steps(recording) }}
        where
            gaps.gap_s < spread.longest_s
            and t1 - t0 between 0 and gaps.gap_s
    ) as usual
{%- endmacro %}

{#-
    Whether the voltage of sample `n` of a discharge stands out from those of both its neighbours,
    under the same load: no cell does so, connections and converters do.
-#}
{% macro is_leap(recording) -%}
    coalesce(
        abs({{ recording }}.recorded_voltage_v[n] - {{ recording }}.recorded_voltage_v[n - 1])
        > {{ var('leap_share') }} * {{ recording }}.recorded_voltage_v[n - 1]
        and (
            {{ recording }}.recorded_voltage_v[n] > {{ recording }}.recorded_voltage_v[n - 1]
        ) = ({{ recording }}.recorded_voltage_v[n] > {{ recording }}.recorded_voltage_v[n + 1])
        and abs({{ recording }}.recorded_voltage_v[n] - {{ recording }}.recorded_voltage_v[n + 1])
        > {{ var('leap_share') }} * {{ recording }}.recorded_voltage_v[n + 1]
        and abs({{ recording }}.recorded_voltage_v[n]) < 'infinity'
        and abs({{ recording }}.current_a[n - 1] - {{ recording }}.current_a[n])
        <= {{ var('same_load_share') }} * {{ recording }}.current_a[n]
        and abs({{ recording }}.current_a[n + 1] - {{ recording }}.current_a[n])
        <= {{ var('same_load_share') }} * {{ recording }}.current_a[n],
        false
    )
{%- endmacro %}

{#- Neighbouring samples, by number: n of the first, its time and voltage, and those of the next. -#}
{% macro steps(recording) -%}
    (
        select
            n,
            {{ recording }}.time_s[n] as t0,
            {{ recording }}.time_s[n + 1] as t1,
            {{ recording }}.voltage_v[n] as v0,
            {{ recording }}.voltage_v[n + 1] as v1,
            {{ recording }}.current_a[n] as i0,
            {{ recording }}.current_a[n + 1] as i1
        from generate_series(1, cardinality({{ recording }}.time_s) - 1) as numbers (n)
    ) as steps
{%- endmacro %}

{#-
    One recording of the table `recordings`, found by its key, with its arrays in memory. Samples
    are then told by their numbers, three times as fast as by unnest; where an array lies in its
    table, each number would fetch the whole of it. The offset keeps the planner from looking
    through, and from sorting arrays to join them.
-#}
{% macro held(row, columns) -%}
    select
        {% for column in columns -%}
            recordings.{{ column }},
        {% endfor -%}
        recordings.time_s[:] as time_s,
        recordings.voltage_v[:] as voltage_v,
        recordings.current_a[:] as current_a
    from recordings
    where
        recordings.battery_id = {{ row }}.battery_id
        and recordings.piece = {{ row }}.piece
        and recordings.piece_index = {{ row }}.piece_index
    offset 0
{%- endmacro %}

{#- The time that counts between two samples: over a gap, that of a usual interval. -#}
{% macro counted(recording) -%}
    case
        when {{ recording }}.gap_s is not null and t1 - t0 > {{ recording }}.gap_s
            then {{ recording }}.usual_s
        else t1 - t0
    end
{%- endmacro %}
