# Everything from a fresh machine: python3.11+, pip and make. `make` alone tells what there is.
.PHONY: help demo features docs test check check-types check-sql bench chaos clean
.DEFAULT_GOAL := help

PYTHON ?= python3
UV := $(shell command -v uv)
BIN := .venv/bin
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
# Else every process would compile dbt and torch anew, which takes seconds.
unexport PYTHONDONTWRITEBYTECODE

help:
	@echo "make demo      the whole road: recordings, features, networks, an answered forecast"
	@echo "make test      check style and types, then run every test"
	@echo "make features  start the database and build the features of what is loaded"
	@echo "make docs      every model, column, test and line of lineage as one page"
	@echo "make check     ruff, mypy and sqlfluff"
	@echo "make bench     measure how fast it is, half an hour, and write docs/benchmarks.md"
	@echo "make chaos     kill, stop and fill up what it runs on, then compare with a clean build"
	@echo "make clean     remove what all this made: environment, database, models; not data/"

demo: .venv/installed
	@$(BIN)/python -m demo

features: .venv/installed
	@$(BIN)/python -m dbt_project build

docs: .venv/installed
	@$(BIN)/python -m dbt_project --no-use-colors docs generate --quiet --static
	@$(BIN)/python -m webbrowser -t "file://$$PWD/dbt_project/target/static_index.html"

test: check
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

check: .venv/developing
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m database start
	@$(MAKE) --no-print-directory --jobs 2 check-types check-sql

check-types:
	$(BIN)/python -m mypy

check-sql:
	$(BIN)/python -m sqlfluff lint --disable-progress-bar dbt_project/models dbt_project/tests/*.sql

# these two in databases of their own: no part of the tests
bench: .venv/developing
	@$(BIN)/python -m tests.benchmarks

chaos: .venv/developing
	@$(BIN)/python -m tests.chaos

clean:
	@if [ -e .venv/installed ]; then $(BIN)/python -m database stop; fi
	rm -rf .venv .postgres artifacts build dist dbt_project/target dbt_project/logs logs
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis *.egg-info
	find . -name __pycache__ -not -path './data/*' -prune -exec rm -rf {} +

# uv where it is there. Nothing is compiled beforehand: what is used is, when it is. pip has much to
# say, which is welcome where somebody waits at a terminal.
define install
	@if [ -z "$(UV)" ] || ! uv pip install --python $(BIN)/python --editable '$(1)'; then \
	    $(BIN)/python -m pip install --disable-pip-version-check --no-compile \
	        $$([ -t 1 ] || echo --quiet) --editable '$(1)'; fi
endef

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	    "Python 3.11 or later is needed, this is " + sys.version + ": make PYTHON=python3.12 …")'
	@echo "== installing the package and its libraries into .venv: 1 to 3 minutes, once"
	@$(PYTHON) -m venv .venv
	$(call install,.)
	@touch $@

.venv/developing: .venv/installed
	@echo "== installing what the tests need, too"
	$(call install,.[dev])
	@touch $@
