# Slipway. `make demo` shows it all; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
REQUIREMENTS := requirements.txt requirements-dev.txt requirements.lock $(wildcard docker/*/requirements*.txt)
export PYTHONPATH := include

# Finds its checkout from where it lies, so that it follows a .venv that is a link, and links to itself.
define SLIPWAY
#!/bin/sh
# `slipway`: this checkout's command line. Written by `make setup`.
self=$$0
[ ! -L "$$self" ] || self=$$(readlink -f -- "$$self")
root=$$(CDPATH='' cd -- "$$(dirname -- "$$self")/../.." && pwd) || exit
PYTHONPATH="$$root/include" exec "$$root/$(BIN)/python" -m slipway "$$@"
endef
export SLIPWAY

.DEFAULT_GOAL := help
.PHONY: help setup java chromium demo up down status test test-unit test-dags test-spark test-integration test-e2e test-lake bench-lake bench-lake-gc bench-lake-kill bench-lake-stream bench-spark-io bench-backfill bench-rerun bench-fingerprint bench-ledger check lock audit clean

help: ## List what can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

setup: $(STAMP) $(BIN)/slipway java ## Install everything into .venv

$(STAMP): $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 12); sys.exit(None if ok else "Python 3.11 or 3.12 is needed, this is " + sys.version.split()[0] + "; name one: make PYTHON=python3.12 " + "demo")'
	@test -x $(BIN)/python || { echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing pinned requirements into $(VENV) (about 3 minutes the first time)"
	@# torch first and by name, so that pip may take a CPU build where it is configured to find one.
	@$(BIN)/pip install --quiet --disable-pip-version-check -r docker/trainer/requirements-torch.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt -c requirements.lock
	@touch $(STAMP)

$(BIN)/slipway: Makefile $(STAMP)
	@printf '%s\n' "$$SLIPWAY" > $@.new && chmod +x $@.new && mv $@.new $@

java: ## Check for Java 17 or newer, install it where that needs no questions
	@docker/spark/require-java.sh

chromium: ## Check for Chromium (browser tests), install it where that needs no questions
	@tests/e2e/require-chromium.sh

demo: setup ## Raw flights to a staged release on 20 simulated devices (EXIT=1 stops the stack at the end)
	@$(BIN)/python -m slipway demo $(if $(EXIT),--exit)

up: setup ## Start the local stack
	@$(BIN)/python -m slipway.embedded up

down: ## Stop the local stack
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m slipway.embedded down; fi

status: setup ## What runs, where, and how to log in
	@$(BIN)/python -m slipway.embedded status

check: setup ## What a developer runs before every commit: ruff, mypy, unit tests, DAG rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/mypy include/slipway plugins dags spark_jobs
	@$(BIN)/mypy include/models docker/make_secrets.py docker/airflow docker/spark
	@$(BIN)/pytest -q -n 2 tests/unit tests/dags

test-unit: setup ## The fast tests
	@$(BIN)/pytest -q -n 2 tests/unit

test-dags: setup ## The rules DAG files obey
	@$(BIN)/pytest -q tests/dags

test-spark: setup ## Spark jobs and the lakefs data source
	@$(BIN)/pytest -q tests/spark

test-integration: setup ## Rooms against real services
	@$(BIN)/pytest -q tests/contract tests/integration tests/regression

test-e2e: setup chromium ## The whole stack: browser, backfill, both pipelines
	@$(BIN)/pytest -q tests/e2e

test: setup chromium ## Every test
	@$(MAKE) --no-print-directory check
	@$(BIN)/pytest -q -n 2 --dist loadfile tests/contract tests/integration tests/regression tests/spark
	@$(BIN)/pytest -q tests/e2e

test-lake: setup ## The lakeFS protocol suite, against LAKEFS_ENDPOINT if that is set (docs/production.md)
	@$(BIN)/pytest -q $(if $(LAKEFS_ENDPOINT),tests/contract/lakefs_protocol/test_protocol_*.py,tests/contract/lakefs_protocol)

bench-lake: setup ## What the lake costs at 1,000 and at 1,000,000 objects: var/bench/lake.json
	@PYTHONPATH=include:. $(BIN)/python -m tests.bench.lake

bench-lake-stream: setup ## A 5 GiB object up and down, and the server's memory meanwhile
	@PYTHONPATH=include:. $(BIN)/python -m tests.bench.lake_stream

bench-spark-io: setup ## The lakefs data source against Spark's own Parquet, 5,000,000 rows: var/bench/spark-io.json
	@PYTHONPATH=include:. $(BIN)/python -m tests.bench.spark_io

bench-backfill: setup ## 31 days through Airflow against a plain loop and against spark-submit: var/bench/backfill.json
	@PYTHONPATH=include:. $(BIN)/python -m tests.bench.backfill

bench-fingerprint: setup ## What computing a stage's fingerprint costs a new process: var/bench/fingerprint.json
	@PYTHONPATH=include:. $(BIN)/python -m tests.bench.fingerprint

bench-rerun: setup ## DAYS (31) unchanged days backfilled again, to the first time: var/bench/rerun.json
	@PYTHONPATH=include:. $(BIN)/python -m tests.bench.rerun $(if $(DAYS),--days $(DAYS))

bench-ledger: setup ## What questions about the past cost on 10,000 releases in PostgreSQL: var/bench/ledger.json
	@PYTHONPATH=include:. $(BIN)/python -m tests.bench.ledger

bench-lake-gc: setup ## What collecting garbage costs beside 1,000,000 objects, and others meanwhile: var/bench/lake-gc.json
	@PYTHONPATH=include:. $(BIN)/python -m tests.bench.lake_gc

bench-lake-kill: setup ## Kill the lake's server under write load 100 times and look what is there: var/bench/lake-kill.json
	@PYTHONPATH=include:. $(BIN)/python -m tests.bench.lake_kill

lock: setup ## Write requirements.lock from what is installed
	@$(BIN)/pip freeze --exclude-editable | sed -E 's/^torch==([0-9.]+).*/torch==\1/' | grep -viE '^(pip|setuptools|wheel)==' > requirements.lock

audit: setup ## Known vulnerabilities of the locked versions
	@$(BIN)/pip-audit --requirement requirements.lock --no-deps --disable-pip

clean: down ## Stop the stack and delete what it wrote
	rm -rf var
