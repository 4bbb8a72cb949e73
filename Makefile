# Everything starts here; `make` alone lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SPARK := $(VENV)/.spark
DEMO ?= demo
# What the tests stand on: with Java 17 or newer on PATH they also run Spark.
TESTED := $(READY) $(shell java -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])' && echo $(SPARK))

.PHONY: help demo dev docs test test-fast test-full bench lint format types clean lock setup setup-spark

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Run three operators x three periods on embedded parts
	@$(BIN)/billing-pipeline demo --folder $(DEMO)

dev: $(READY) ## Open the Dagster UI on the demo's data (http://127.0.0.1:3000)
	@$(BIN)/billing-pipeline dev --demo $(DEMO)

docs: $(READY) ## Show what the analysts' views hold, from the demo's database (http://127.0.0.1:8190)
	@$(BIN)/billing-pipeline docs --config $(DEMO)/billing.yaml

test: $(TESTED) ## Run the tests
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: $(READY) ## Run the tests that need no server, within 90 seconds
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder billing_pipeline_tests/unit billing_pipeline_tests/house \
	  billing_pipeline_tests/normalize billing_pipeline_tests/reference billing_pipeline_tests/r189

test-full: $(TESTED) ## Run the tests with the long sweeps and fuzzes
	@HYPOTHESIS_PROFILE=full BILLING_TEST_SWEEP=full $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

bench: $(READY) ## Measure speed and memory against a peer on the same data
	@for program in billing_pipeline_tests/bench/bench_*.py; do $(BIN)/python $$program || exit 1; done

lint: $(READY) ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY) ## Rewrite the code in the house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(READY) ## Resolve the dependencies anew into requirements.lock
	@$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --quiet --group dev pyproject.toml -o requirements.lock
	@sed -n 's/^spark = \["\(.*\)"\]$$/\1/p' pyproject.toml | $(BIN)/uv pip compile --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url --quiet -c requirements.lock - -o requirements-spark.lock

clean: ## Stop the demo's database and remove what was made
	@if [ -x $(BIN)/billing-pipeline ] && [ -f $(DEMO)/billing.yaml ]; then \
	  $(BIN)/billing-pipeline db stop --config $(DEMO)/billing.yaml; fi
	rm -rf $(DEMO) $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

setup: $(READY)

setup-spark: $(SPARK) ## Install what `engine: spark` needs (Java 17 has to be there)

# The virtual environment, from the lock alone. uv itself comes by pip, at the version the lock has it. Compiled at once:
# where Python may not write bytecode, each command would compile its libraries anew, half of its start.
$(SPARK): $(READY) requirements-spark.lock
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps --require-hashes -r requirements-spark.lock
	@touch $(SPARK)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; \
	  sys.exit(0 if (3, 11) <= v < (3, 14) else f"billing_pipeline needs Python 3.11, 3.12 or 3.13; {sys.executable} is {v[0]}.{v[1]}. Set PYTHON=python3.12 (or another)")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@grep -A 40 '^uv==' requirements.lock | awk 'NR > 1 && /^[a-z]/ {exit} {print}' > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(READY)
