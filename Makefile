# `make demo` runs the whole road, `make test` checks everything; both need python3.11+ and no more.
.PHONY: demo test check data docs
.DEFAULT_GOAL := demo

PYTHON ?= python3
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Where there are no recordings at all, simulated ones take their place, under names of their own.
demo: .venv/installed
	@set -e; data="$${BATTERY_DATA:-data}"; train="B0005 B0006"; test=B0007; \
	if [ -z "$$BATTERY_DATA" ] && ! ls data/*.zip data/*.mat data/*/*.mat 2>/dev/null | grep -q .; then \
	    echo "== downloading NASA's aging cells"; \
	    python -m loader download || { \
	        echo "== NO NETWORK: THESE ARE SIMULATED CELLS, NOT MEASUREMENTS"; \
	        data=data/simulated; python -m loader.simulate $$data; }; \
	fi; \
	if [ -z "$$BATTERY_DATA" ] && [ -e data/simulated ]; then \
	    echo "== THE CELLS IN data/simulated ARE SIMULATED, NOT MEASUREMENTS"; \
	    train="S0001 S0002"; test=S0003; \
	fi; \
	echo "== recordings into staging tables: python -m loader $$data"; \
	python -m loader "$$data"; \
	echo "== staging tables into features: dbt build --project-dir dbt_project"; \
	dbt --no-use-colors build --quiet --project-dir dbt_project; \
	python -m database psql -P pager=off -c "select battery_id, cycles, round(first_soh::numeric, 3) as first_soh, round(last_soh::numeric, 3) as last_soh, end_of_life_cycle from battery_summary order by battery_id"; \
	for features in spec extended; do \
	    echo "== features into a model: python -m model.train --train $$train --test $$test --features $$features"; \
	    python -m model.train --train $$train --test $$test --features $$features; \
	done; \
	echo "== a model into a forecast: uvicorn api.main:app"; \
	python -m api.demo $$test; \
	echo; echo "Next: . .venv/bin/activate, then"; \
	echo "  python -m database psql -c 'select * from cycle_features limit 5'   your features in SQL"; \
	echo "  python -m loader PATH && dbt build --project-dir dbt_project        your own recordings"; \
	echo "  python -m model.train --help                                       other batteries, other knobs"; \
	echo "  uvicorn api.main:app                                               the service; post artifacts/window.json to /predict"

# Every model, column, test and line of lineage as one page, which needs no server.
docs: .venv/installed
	python -m database start
	dbt --no-use-colors docs generate --quiet --static --project-dir dbt_project
	python -m webbrowser -t "file://$(CURDIR)/dbt_project/target/static_index.html"

test: check
	pytest

check: .venv/installed
	ruff format --check .
	ruff check .
	mypy
	python -m database start
	sqlfluff lint --disable-progress-bar dbt_project/models dbt_project/tests/*.sql

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@
