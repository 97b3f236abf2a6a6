# orderkeep: every command a person needs. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export PATH := $(CURDIR)/.venv/bin:$(PATH)

PORT ?= $(or $(ORDERKEEP_PORT),8080)
OFFICE_PORT ?= $(or $(ORDERKEEP_OFFICE_PORT),8081)
# How many tests run side by side, and which: make test TESTS=tests/unit WORKERS=1
WORKERS ?= $(shell scripts/cpus.py)
TESTS ?= tests
PYTEST = -n $(WORKERS) --dist worksteal
EXAMPLES ?= 1000
ROWS ?= 100000,1000000,5000000

##@ For everyone

.PHONY: run
run: ## set everything up and start orderkeep with a month of practice orders (PORT, OFFICE_PORT)
	@scripts/setup run
	@ORDERKEEP_PORT=$(PORT) ORDERKEEP_OFFICE_PORT=$(OFFICE_PORT) \
		exec .venv/bin/python -m orderkeep.practice.demo

.PHONY: test test-web test-python
test: test-web test-python ## set everything up and run every test (TESTS, WORKERS)

test-web: ready-to-test
	@cd web && npm run --silent test

test-python: ready-to-test
	@scripts/with-browser .venv/bin/python -m pytest $(PYTEST) $(TESTS)

.PHONY: ready-to-test
ready-to-test:
	@scripts/setup test

.PHONY: help
help: ## list these commands
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

##@ While you work

.PHONY: setup
setup: ready-to-test ## everything `run` and `test` need, and nothing more

.PHONY: check check-style check-types check-imports check-web check-docs
check: check-style check-types check-imports check-web check-docs ## style, types, imports, screens, documents: before each commit

check-style: ready-to-check
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

check-types: ready-to-check
	.venv/bin/mypy src tests scripts

check-imports: ready-to-check
	.venv/bin/lint-imports --no-logo

check-web: ready-to-check
	cd web && npm run --silent check

check-docs: ready-to-check
	.venv/bin/python scripts/reference.py --check
	.venv/bin/python -m pytest --quiet tests/unit/test_tidy.py tests/unit/test_docs.py

.PHONY: check-deploy
check-deploy: ## what docker's and systemd's own tools say about deploy/
	@scripts/check_deploy.py

.PHONY: ready-to-check
ready-to-check:
	@scripts/setup check

.PHONY: reference
reference: ## write docs/reference from the program
	@scripts/setup dev
	@.venv/bin/python scripts/reference.py

.PHONY: format
format: ## let ruff place every comma
	@scripts/setup dev
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

.PHONY: lock
lock: ## lock the newest allowed packages' versions and hashes (UPGRADE=1 to move locked ones)
	@scripts/setup dev
	@scripts/lock
	@cd web && npm install --package-lock-only --no-audit --no-fund $(if $(UPGRADE),&& npm update --package-lock-only)
	@scripts/complete_web_lock.py

.PHONY: clean
clean: ## remove what was built; orders in var/ stay
	rm -rf .venv .cache web/node_modules web/dist src/orderkeep/http/static
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Proofs that take longer

.PHONY: bench
bench: ## measure this machine: ratios of accept, delivery, recovery and board (ROWS)
	@scripts/setup run
	.venv/bin/orderkeep bench accept --json
	.venv/bin/orderkeep bench accept --database postgresql --json
	@scripts/setup peers
	.venv/bin/orderkeep bench delivery --json
	.venv/bin/orderkeep bench faults --json
	.venv/bin/orderkeep bench recovery --orders 30000 --json
	.venv/bin/orderkeep bench overload --seconds 300 --slow-seconds 60 --json
	.venv/bin/orderkeep bench board --rows $(ROWS) --json
	@scripts/setup test
	@scripts/with-browser .venv/bin/orderkeep bench board --browser --json

.PHONY: faults faults-matrix
faults: faults-matrix ## every fault × every step on both profiles: what was lost? (CELL, SEED, RESULTS)
ifndef CELL
	ORDERKEEP_ALL_FAULTS=1 .venv/bin/python -m pytest $(PYTEST) $(wildcard tests/acceptance/test_kill*.py tests/acceptance/faults_*.py) tests/integration/test_rabbitmq_weather.py
	ORDERKEEP_HISTORIES=30000 .venv/bin/python -m pytest -n 0 tests/simulation
endif

faults-matrix:
	@scripts/setup faults
	@# A cell mostly waits: three share a processor.
	@.venv/bin/python -m orderkeep.testing.matrix $(if $(CELL),"$(CELL)") $(if $(SEED),--seed $(SEED)) $(if $(RESULTS),--results "$(RESULTS)") --workers $$(($(WORKERS) * 3))

.PHONY: defects
defects: ## plant the known defects of tests/defects, one by one: is each caught? (DEFECTS)
	@scripts/setup test
	@.venv/bin/python scripts/defects.py --workers $(WORKERS) $(DEFECTS)

.PHONY: fuzz
fuzz: ## throw hostile requests at every operation (EXAMPLES for each)
	@scripts/setup dev
	ORDERKEEP_FUZZ_EXAMPLES=$(EXAMPLES) .venv/bin/python -m pytest $(PYTEST) tests/acceptance -k "schemathesis or hostile"

.PHONY: shots
shots: ## photograph every screen in a real browser into var/shots
	@scripts/setup test
	@scripts/with-browser .venv/bin/python scripts/shots.py
