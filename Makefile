# Millrace. `make` alone lists what can be done.

VENV := .venv
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3.13 python3; do \
	"$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$candidate" && break; done)
UV = $(shell command -v uv || echo $(VENV)/bin/uv)
UV_VERSION := 0.13.8
ARGS ?=
WORKERS ?= 2
DATA = $(or $(MILLRACE_HOME),.millrace)

VENV33 := .venv-spark33
PYTHON33 ?= $(shell for candidate in python3.8 $$HOME/.pyenv/versions/3.8.*/bin/python python3.9 python3.10; do \
	"$$candidate" -c '' 2>/dev/null && echo "$$candidate" && break; done)

VENV_CHECKOV := .venv-checkov

# What HDInsight runs is tested on its Python. Where there is none, people go without; CI (it sets CI) must not.
NEEDS33 = it needs Python 3.8, and there is none: install it (pyenv install 3.8 does, and is found), or say PYTHON33=path

# The Python of this machine is used; uv is not to fetch another one.
export UV_PYTHON_DOWNLOADS := never

TEST = $(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo down clean test test-long test-release test-spark33 faults conformance conformance-software mirror-jars lint lock

help: ## List these targets
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

setup: $(VENV)/.setup ## Check Python and Java, and install what is pinned in requirements.txt into .venv

setup-dev: $(VENV)/.setup-dev ## As setup, with the tools for tests and checks

demo: setup ## See it at work: past days and live ticks through both layers (ARGS=--exit-when-done for scripts)
	@$(VENV)/bin/millrace demo $(ARGS)

down: ## Stop everything: streams, Spark jobs, Airflow, Kafka, Azurite; the data stays
	@if [ -x $(VENV)/bin/millrace ]; then MILLRACE_ENVIRONMENT=local $(VENV)/bin/millrace down; fi

# What a mistyped MILLRACE_HOME names is not ours to delete: the stack's file tells.
clean: down ## Stop everything and delete the data; downloads and .venv stay (ALL=1: downloads go too)
	@if [ -f "$(DATA)/stack.json" ] || [ "$(DATA)" = .millrace -a -d .millrace ]; then \
		find "$(DATA)" -mindepth 1 -maxdepth 1 $(if $(ALL),,! -name downloads) -exec rm -rf {} +; fi
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

test: lint ## Check everything, and test it but for what takes long (ARGS="..." is passed to pytest)
	@$(TEST) -m "not long and not release" $(ARGS)

test-long: setup-dev ## Test what takes long, as CI does: parity, faults and Livy in short forms, checkov, Spark 3.3
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target test-spark33 conformance-software $(VENV_CHECKOV)/.setup
	@$(TEST) -m "long and not release" $(ARGS)

test-release: setup-dev mirror-jars ## Test what only a release waits for: the demo, nights, upgrades, a million records, Airflow on Azure
	@$(TEST) -m release $(ARGS)

test-spark33: setup-dev ## Test decoding and transformations on HDInsight's engine, Spark 3.3 with Python 3.8
	@if [ -z "$(PYTHON33)" ]; then \
		echo "Spark 3.3 is not tested: $(NEEDS33)"; [ -z "$(CI)" ]; \
	else \
		$(MAKE) --no-print-directory $(VENV33)/.setup && rm -rf build/wheel && \
		(cd jobs && ../$(VENV)/bin/python -m hatchling build --target wheel --directory ../build/wheel) && \
		MILLRACE_WHEEL="$$(echo "$(CURDIR)"/build/wheel/*.whl)" \
		MILLRACE_SPARK33_JARS="$$($(VENV)/bin/python -c 'import os; from millrace.stack.jars import fetch_jars; print(os.pathsep.join(map(str, fetch_jars("spark33"))))')" \
		$(VENV33)/bin/python -m pytest -n $(WORKERS) --dist loadscope -m both_engines tests/jobs; \
	fi

faults: setup-dev ## Break everything that can break while data flows, and check every answer (ARGS="--seed 7"; a sample: "--minutes 10")
	@$(VENV)/bin/python -m tests.faults --airflow $(ARGS)

conformance: setup-dev ## Run the main job through a real Livy on YARN with Spark 3.3 and through Databricks' API; kill what can be killed
	@if [ -z "$(PYTHON33)" ]; then \
		echo "Conformance is not tested: $(NEEDS33)"; exit 1; \
	fi
	@$(MAKE) --no-print-directory $(VENV33)/.setup conformance-software
	@MILLRACE_CONFORMANCE=1 $(VENV)/bin/python -m pytest tests/conformance tests/plugins/platforms/test_databricks_main_job.py $(ARGS)

# Livy, YARN and what drivers run on HDInsight, for the conformance tests, short or whole: no test fetches anything.
conformance-software: setup-dev
	@if [ -n "$(PYTHON33)" ]; then $(VENV)/bin/python -m tests.conformance.software; fi

# As above, for the tests of replication.
mirror-jars: setup-dev
	@$(VENV)/bin/python -c 'from millrace.stack.jars import fetch_jars; fetch_jars("mirror")'

lint: setup-dev ## Check style, types, imports, and that jobs/ runs on Python 3.8
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/vermin --target=3.8- --no-tips --violations --quiet jobs

lock: $(VENV)/bin/python ## Pin packages by version and hash (ARGS=--upgrade takes newer ones)
	@$(UV) pip compile $(COMPILE) $(ARGS) --output-file requirements.txt pyproject.toml
	@$(UV) pip compile $(COMPILE) --group dev --constraint requirements.txt $(ARGS) --output-file requirements-dev.txt pyproject.toml
	@$(UV) pip compile $(subst 3.11,3.8,$(subst --universal ,,$(COMPILE))) --group spark33 $(ARGS) --output-file requirements-spark33.txt
	@$(UV) pip compile $(COMPILE) --group checkov $(ARGS) --output-file requirements-checkov.txt

COMPILE := --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"
INSTALL_PINNED = $(UV) pip install --quiet --python $(VENV)/bin/python --require-hashes --requirement
INSTALL_PROJECT = $(UV) pip install --quiet --python $(VENV)/bin/python --no-deps --editable .

$(VENV)/bin/python:
	@infra/local/prerequisites.sh "$(PYTHON)"
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@[ -x "$(UV)" ] || $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.setup: requirements.txt pyproject.toml | $(VENV)/bin/python
	@infra/local/prerequisites.sh $(VENV)/bin/python
	@echo "Installing $$(grep -c '^[a-z].*==' $<) packages"
	@$(INSTALL_PINNED) $<
	@$(INSTALL_PROJECT)
	@touch $@

$(VENV)/.setup-dev: requirements-dev.txt $(VENV)/.setup
	@echo "Installing the tools for tests and checks"
	@$(INSTALL_PINNED) $<
	@$(INSTALL_PROJECT)
	@touch $@

$(VENV33)/.setup: requirements-spark33.txt
	@echo "Making $(VENV33) with $$($(PYTHON33) --version)"
	@$(UV) venv --quiet --clear --python $(PYTHON33) $(VENV33)
	@$(UV) pip install --quiet --python $(VENV33)/bin/python --require-hashes --requirement $<
	@touch $@

# checkov's pins and Airflow's do not go together: it has an environment of its own.
$(VENV_CHECKOV)/.setup: requirements-checkov.txt | $(VENV)/bin/python
	@echo "Making $(VENV_CHECKOV)"
	@$(UV) venv --quiet --clear --python $(VENV)/bin/python $(VENV_CHECKOV)
	@$(UV) pip install --quiet --python $(VENV_CHECKOV)/bin/python --require-hashes --requirement $<
	@touch $@
