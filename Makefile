# Thorax: every command of a developer's and a user's day. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The first of these that is Python 3.11 or 3.12 makes the environment; PYTHON=… names another.
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
# A hospital's proxy may show a certificate whose authority the system alone knows; pip asks the system by itself.
export UV_SYSTEM_CERTS ?= 1
# Each test process has a core to itself, and a file stays whole, so that what its tests share is made once.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z][a-z-]*:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  \033[36mmake %-15s\033[0m %s\n", $$1, $$2}'

.PHONY: setup
setup: $(READY) ## Create the virtual environment from the locked and hashed requirements

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Thorax needs Python 3.11 or 3.12. Install one, or run: make setup PYTHON=/path/to/python3.12"; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV) || { echo "The venv module is missing: install it (on Debian: apt-get install python3-venv)."; rm -rf $(VENV); exit 1; }
	@awk '/^uv==/{p=1} /^[a-z]/&&!/^uv==/{p=0} p' requirements.lock > $(VENV)/uv.txt
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@echo "Installing the locked packages (about 6 GB the first time) …"
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@# A relative path: Python 3.12 cannot read another alphabet there where LC_ALL is C.
	@for site in $(VENV)/lib/python3*/site-packages; do printf '../../../..\n' > "$$site/thorax.pth"; done
	@git ls-files --error-unmatch Makefile >/dev/null 2>&1 || $(BIN)/dvc config --quiet --local core.no_scm true
	@touch $@

.PHONY: doctor
doctor: ## Check the requirements of this machine, and print how to install what is missing
	@if test -x $(BIN)/thorax; then $(BIN)/thorax doctor; else \
	test -n "$(PYTHON)" && echo "✓ Python: $(PYTHON)" || echo "✗ Python 3.11 or 3.12 is missing"; \
	command -v git >/dev/null && echo "✓ git" || echo "! git is missing: models will not know the commit of their code"; \
	echo "✗ no environment yet: run make setup"; fi

.PHONY: demo
demo: setup ## Train, register, serve and monitor a model on synthetic radiographs, in minutes
	@$(BIN)/thorax demo

.PHONY: monitor
monitor: setup ## Run the monitoring loop on phantoms: a new scanner, an alarm, a retraining, a new champion
	@$(BIN)/python -m commands.demo_monitor

.PHONY: serve
serve: setup ## Serve the champion, with its page
	@$(BIN)/thorax serve

.PHONY: mlflow
mlflow: setup ## Start MLflow's web pages
	@$(BIN)/thorax models ui

.PHONY: test
test: setup ## Run all tests; a failed test is repeated once, which the summary shows
	@$(TEST) --reruns 1

.PHONY: test-fast
test-fast: setup ## Run the tests without real tools and training
	@$(TEST) -m "not slow"

.PHONY: test-images
test-images: setup ## Build the service's container image and run it (as root, with Debian's buildah and debootstrap)
	@THORAX_TEST_IMAGES=1 $(BIN)/python -m pytest tests/deploy/test_image.py

.PHONY: lint
lint: setup ## Check style, types, layers and security
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive thorax components pipelines serving commands \
		2> >(grep -v "nosec encountered" >&2)

.PHONY: format
format: setup ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: bench
bench: bench-train ## Measure training against plain loops, and the cost of orchestration in the latest run
	@$(BIN)/thorax pipeline last || true

.PHONY: bench-train
bench-train: setup ## Measure training against the bare step and a plain loop, memory, and a GPU if there is one
	@$(BIN)/python -m commands.bench.train

.PHONY: bench-data
bench-data: setup ## Measure reading, checking and preprocessing of images
	@$(BIN)/python -m commands.bench.data --markdown docs/data-figures.md

.PHONY: bench-trust
bench-trust: setup ## Measure calibration, conformal answers, explanation and evaluation
	@$(BIN)/python -m commands.bench.trust

.PHONY: bench-serve
bench-serve: setup ## Measure the service: throughput, latency, memory
	@$(BIN)/python -m commands.bench.serve --markdown docs/serving-figures.md

.PHONY: bench-monitor
bench-monitor: setup ## Measure monitoring: speed of reports, false alarms, detection delay
	@$(BIN)/python -m commands.bench.monitor --markdown docs/monitoring.md

.PHONY: bench-registry
bench-registry: setup ## Measure promotion: its time, its safety, and the errors of its gate
	@$(BIN)/python -m commands.bench.registry --markdown docs/registry.md

.PHONY: bench-scale
bench-scale: setup ## Measure growth with cores and rows, and estimate larger datasets
	@$(BIN)/python -m commands.bench.scale --markdown docs/scaling.md

.PHONY: pictures
pictures: setup ## Make the pictures of the documentation from the latest run
	@$(BIN)/thorax data phantom-sheet --out docs/images
	@$(BIN)/python -m commands.pictures
	@THORAX_SCREENSHOTS=docs/images THORAX_TEST_BUNDLE="$$(ls -td var/bundles/*/ | head -1)" \
		$(BIN)/python -m pytest tests/serving/test_page.py

.PHONY: docs
docs: setup ## Build the documentation site into var/site
	@$(BIN)/mkdocs build --strict --quiet && echo "Open var/site/index.html"

.PHONY: lock
lock: setup ## Resolve the requirements again
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile pyproject.toml --quiet --all-extras --universal \
		--python-version 3.11 --generate-hashes --output-file requirements.lock

.PHONY: clean
clean: ## Remove runs, caches and models, but not the data
	rm -rf var .pytest_cache .mypy_cache .ruff_cache .hypothesis
