{#- Flip the sign of every element of a float8[] column; order and NaN stay. -#}
{% macro negated(samples) -%}
    array(select -sample from unnest({{ samples }}) as samples (sample))
{%- endmacro %}

{#-
    How a recording is sampled: gap_s, s, above which an interval is a gap, null where none is; the
    mean of the other intervals, usual_s, and the 90th percentile of the falls of voltage over them,
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
            avg(t1 - t0) filter (where t1 - t0 < 'infinity') as mean_s
        from {{ intervals(recording) }}
    ) as spread
    cross join lateral (
        select
            {{ var('gap_factor') }}
            * percentile_disc(0.9) within group (order by t1 - t0) as gap_s
        from {{ intervals(recording) }}
        where
            spread.longest_s > {{ var('gap_factor') }} * spread.mean_s
            and t1 > t0
    ) as gaps
    cross join lateral (
        select
            avg(t1 - t0) as usual_s,
            percentile_disc(0.9) within group (order by abs(v0 - v1)) as usual_fall_v
        from {{ steps(recording) }}
        where
            gaps.gap_s < spread.longest_s
            and t1 - t0 between 0 and gaps.gap_s
    ) as usual
{%- endmacro %}

{#- Neighbouring times, which are all that most recordings are asked for. -#}
{% macro intervals(recording) -%}
    unnest(
        {{ recording }}.time_s[2:cardinality({{ recording }}.time_s)],
        {{ recording }}.time_s[1:cardinality({{ recording }}.time_s) - 1]
    ) as intervals (t1, t0)
{%- endmacro %}

{#- Neighbouring samples: the arrays against themselves, shifted by one. -#}
{% macro steps(recording) -%}
    unnest(
        {{ recording }}.time_s[2:cardinality({{ recording }}.time_s)],
        {{ recording }}.time_s[1:cardinality({{ recording }}.time_s) - 1],
        {{ recording }}.voltage_v[2:cardinality({{ recording }}.voltage_v)],
        {{ recording }}.voltage_v[1:cardinality({{ recording }}.voltage_v) - 1]
    ) as steps (t1, t0, v1, v0)
{%- endmacro %}

{#- The time that counts between two samples: over a gap, that of a usual interval. -#}
{% macro counted(recording) -%}
    case when t1 - t0 > {{ recording }}.gap_s then {{ recording }}.usual_s else t1 - t0 end
{%- endmacro %}
