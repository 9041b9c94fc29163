{#- A MATLAB date vector [year, month, day, hour, minute, second] as a timestamp; null where it is none. -#}
{% macro timestamp_from(date_vector) -%}
    {%- set parts = [] -%}
    {%- for at in range(1, 7) -%} {%- do parts.append(date_vector ~ "[" ~ at ~ "]") -%} {%- endfor -%}
    {{ timestamp_of(*parts) }}
{%- endmacro %}

{#-
    The parts of a text like 14-Nov-2014 17:25:43: day, month, year, hour, minute, second. Matched
    and then split: to match with parts takes forty times as long.
-#}
{% macro date_parts(text) -%}
    case
        when
            {{ text }} ~ '^\s*\d{1,2}-[A-Za-z]{3}[a-z]*-\d{4}\s+\d{1,2}:\d{2}:\d{2}(\.\d+)?\s*$'
            then regexp_split_to_array(btrim({{ text }}, e' \t\n\r'), '[-:[:space:]]+')
    end
{%- endmacro %}

{#- These parts as a timestamp; null where there are none, or no such moment. -#}
{% macro timestamp_from_parts(parts) -%}
    {%- set month -%}
        array_position(
            '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'::text [], lower(left({{ parts }}[2], 3))
        )
    {%- endset -%}
    {{ timestamp_of(
        parts ~ "[3]::float8", month, parts ~ "[1]::float8",
        parts ~ "[4]::float8", parts ~ "[5]::float8", parts ~ "[6]::float8"
    ) }}
{%- endmacro %}

{#- Six numbers as a timestamp; null where there is no such moment: make_timestamp would stop the run. -#}
{% macro timestamp_of(year, month, day, hour, minute, second) -%}
    case
        when
            {{ year }} between 1 and 9999
            and {{ month }} between 1 and 12
            and {{ day }} between 1 and 31
            and {{ hour }} between 0 and 23
            and {{ minute }} between 0 and 59
            and {{ second }} >= 0
            and {{ second }} < 61
            then
                case
                    when
                        {{ day }}::int <= extract(
                            day from make_date(
                                ({{ year }})::int, ({{ month }})::int, 1
                            ) + interval '1 month - 1 day'
                        )
                        then make_timestamp(
                            ({{ year }})::int, ({{ month }})::int, ({{ day }})::int,
                            ({{ hour }})::int, ({{ minute }})::int, {{ second }}
                        )
                end
    end
{%- endmacro %}

{#- Seconds as an interval; null where no test lasts as long: make_interval would stop the run. -#}
{% macro seconds(number) -%}
    case when abs({{ number }}) < 1e11 then make_interval(secs => {{ number }}) end
{%- endmacro %}
