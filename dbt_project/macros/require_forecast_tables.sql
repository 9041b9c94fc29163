{#-
    At the start of a run: the tables that python -m model.predict writes, empty where they are new, so
    that the models over them can be built before anything has been forecast; and what tables of an
    earlier state lack.
-#}
{% macro require_forecast_tables() %}
    {% if execute and flags.WHICH in ("run", "build", "snapshot")
        and not run_query(
            "select exists (select from information_schema.columns where table_schema = 'forecast'"
            ~ " and table_name = 'end_of_life_forecast' and column_name = 'days')"
        ).rows[0][0] %}
        create schema if not exists forecast;
        comment on schema forecast is 'What was forecast, when: rows are written by the model package alone.';
        grant usage on schema forecast to analyst;

        create table if not exists forecast.cycle_forecast (
            battery_id text not null,
            made_after_cycle int not null,
            cycle_index int not null,
            horizon int not null check (horizon = cycle_index - made_after_cycle and horizon >= 1),
            soh float8 not null,
            soh_low float8 not null,
            soh_high float8 not null,
            features text not null,
            is_unlike_training boolean,
            last_soh float8 not null,
            model_version text not null,
            made_at timestamptz not null default now(),
            primary key (battery_id, made_after_cycle, cycle_index, model_version)
        );
        grant select on forecast.cycle_forecast to analyst;
        comment on table forecast.cycle_forecast is 'One row per battery, last cycle that was known, cycle that was forecast, and model.';
        comment on column forecast.cycle_forecast.battery_id is 'Battery, the cell under test (B0005).';
        comment on column forecast.cycle_forecast.made_after_cycle is 'Last cycle that was known; of the cycle after it not even the rest before it.';
        comment on column forecast.cycle_forecast.cycle_index is 'Cycle that was forecast.';
        comment on column forecast.cycle_forecast.horizon is 'Cycles ahead, from 1.';
        comment on column forecast.cycle_forecast.soh is 'Forecast state of health, a fraction.';
        comment on column forecast.cycle_forecast.soh_low is 'Lower end of the 90 % interval.';
        comment on column forecast.cycle_forecast.soh_high is 'Upper end of the 90 % interval.';
        comment on column forecast.cycle_forecast.features is 'What it was forecast from: spec, extended or custom by the network, fade by the course of the state of health alone.';
        comment on column forecast.cycle_forecast.is_unlike_training is 'Whether the window is unlike all that the network was trained on; null where no network was asked.';
        comment on column forecast.cycle_forecast.last_soh is 'Last state of health that was known, a fraction: where the battery now has another, it has been loaded anew.';
        comment on column forecast.cycle_forecast.model_version is 'First 12 hexadecimal digits of the SHA-256 of model.pth, followed by model_extended.pth where there is one.';
        comment on column forecast.cycle_forecast.made_at is 'When the forecast was made.';

        create table if not exists forecast.end_of_life_forecast (
            battery_id text not null,
            made_after_cycle int not null,
            model_version text not null,
            made_at timestamptz not null default now(),
            cycles int,
            low int,
            high int,
            is_censored boolean not null check (is_censored = (cycles is null)),
            primary key (battery_id, made_after_cycle, model_version)
        );
        alter table forecast.end_of_life_forecast
            add column if not exists days float8,
            add column if not exists days_low float8,
            add column if not exists days_high float8;
        grant select on forecast.end_of_life_forecast to analyst;
        comment on table forecast.end_of_life_forecast is 'One row per battery, last cycle that was known, and model.';
        comment on column forecast.end_of_life_forecast.battery_id is 'Battery, the cell under test (B0005).';
        comment on column forecast.end_of_life_forecast.made_after_cycle is 'Last cycle that was known.';
        comment on column forecast.end_of_life_forecast.model_version is 'First 12 hexadecimal digits of the SHA-256 of model.pth, followed by model_extended.pth where there is one.';
        comment on column forecast.end_of_life_forecast.made_at is 'When the forecast was made.';
        comment on column forecast.end_of_life_forecast.cycles is 'Cycles from made_after_cycle until the state of health is below 70 %; null: not within the horizon.';
        comment on column forecast.end_of_life_forecast.low is 'Early end of the 90 % interval; null: not within the horizon.';
        comment on column forecast.end_of_life_forecast.high is 'Late end of the 90 % interval; null: not within the horizon.';
        comment on column forecast.end_of_life_forecast.days is 'The same as cycles, in days at the pace of the last 50 cycles; null too where no times are known.';
        comment on column forecast.end_of_life_forecast.days_low is 'The same as low, in days.';
        comment on column forecast.end_of_life_forecast.days_high is 'The same as high, in days.';
        comment on column forecast.end_of_life_forecast.is_censored is 'Whether 70 % is not reached within the horizon.';

        create table if not exists forecast.alert_delivery (
            battery_id text not null,
            kind text not null,
            since timestamptz not null,
            delivered_at timestamptz not null default now(),
            primary key (battery_id, kind, since)
        );
        grant select on forecast.alert_delivery to analyst;
        comment on table forecast.alert_delivery is 'One row per alert of fleet_alert that the webhook has taken.';
        comment on column forecast.alert_delivery.battery_id is 'Battery, the cell under test (B0005).';
        comment on column forecast.alert_delivery.kind is 'Rule of alert_rule.';
        comment on column forecast.alert_delivery.since is 'When the alert was opened.';
        comment on column forecast.alert_delivery.delivered_at is 'When the webhook took it.';
    {% endif %}
{% endmacro %}
