{#-
    Whether two discharges can be compared: the same activity, loads within a band of each other, as
    much warmth around and the same cut-off. Bands lie around the discharges themselves, so that no
    edge of a grid parts 1.99 from 2.01 A. A random walk is like every other: its load tells nothing.
-#}
{% macro is_alike(discharge, other) -%}
    {{ discharge }}.activity = {{ other }}.activity
    and (
        {{ discharge }}.activity = 'random walk'
        or (
            {{ discharge }}.avg_current_load_a
            between {{ other }}.avg_current_load_a / (1 + {{ var('same_load_share') }})
            and {{ other }}.avg_current_load_a * (1 + {{ var('same_load_share') }})
            and coalesce(
                abs({{ discharge }}.ambient_temperature_c - {{ other }}.ambient_temperature_c)
                <= {{ var('same_ambient_c') }},
                num_nonnulls({{ discharge }}.ambient_temperature_c, {{ other }}.ambient_temperature_c) = 0
            )
            and {{ discharge }}.cutoff_v is not distinct from {{ other }}.cutoff_v
        )
    )
{%- endmacro %}
