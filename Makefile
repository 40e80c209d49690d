# One list of tasks; each makes and uses .venv at the repository's root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KUBEFLOW := $(VENV)/kubeflow
# One thread a process: trials run side by side.
export OMP_NUM_THREADS := 1
SWEEP_ARGS ?=
TEST_ARGS ?=
GPU_ARGS ?=
MLFLOW_PORT ?= 5000
OVERLAY ?= gpu

.DEFAULT_GOAL := help
.PHONY: help install sweep test test-slow test-all test-oldest constraints cluster-test kubernetes-test lint format docs notebook ui bench gpu-check calibration mutation pipeline faults clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed ## make .venv and install the project with its test and lint tools

$(VENV)/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	@touch $@

sweep: install ## run the smoke sweep, or another: make sweep SWEEP_ARGS="--space laptop"
	$(BIN)/python sweep.py $(SWEEP_ARGS)

PYTEST = $(BIN)/python -m pytest -n 2 --dist worksteal --durations=25

test: install ## run the quick tests: units, contracts, one tiny sweep; minutes
	$(PYTEST) -m "not slow and not cluster" $(TEST_ARGS)

test-slow: $(KUBEFLOW)/.installed ## run the others: sweeps, services, browser, figures, every preset and model
	tests/install_system_packages
	$(PYTEST) -m "slow and not cluster" $(TEST_ARGS)

test-all: test test-slow ## run all tests but those of clusters

test-oldest: install ## run all tests on the oldest releases that pyproject.toml allows, in .venv-oldest
	mkdir -p .venv-oldest
	$(BIN)/uv pip compile --quiet --resolution lowest-direct --python $(BIN)/python --extra test --extra dev \
		--output-file .venv-oldest/constraints.txt pyproject.toml
	PIP_CONSTRAINT=$(CURDIR)/.venv-oldest/constraints.txt $(MAKE) test-all VENV=.venv-oldest

constraints: install ## write constraints.txt: the newest releases, for CI, the image and Ray's nodes
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra test --extra dev --extra docs --no-annotate \
		--custom-compile-command "make constraints" --output-file constraints.txt pyproject.toml

cluster-test: $(KUBEFLOW)/.installed ## run the tests of whole clusters: nodes lost and joining, all services of k8s/services
	tests/install_system_packages
	SWEEP_REQUIRE_ALL=1 $(BIN)/python -m pytest -m cluster tests/cluster tests/k8s $(TEST_ARGS)

kubernetes-test: $(KUBEFLOW)/.installed ## break sweeps on the cluster of KUBECONFIG for an hour: k8s/README.md
	$(BIN)/python -m pytest -v -m cluster tests/kubernetes $(TEST_ARGS)

lint: install ## check style, formatting, types, the order of packages and yaml files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict .

format: install ## fix style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

docs: $(VENV)/.docs ## update the generated parts of the pages, and build the site in build/site; broken links and references fail
	$(BIN)/python -m docs
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -c docs -d build/doctrees . build/site
	@echo "The site is build/site/index.html"

notebook: $(VENV)/.docs ## run docs/first_sweep.ipynb and store what it shows
	PYTHONWARNINGS=ignore $(BIN)/python -m docs.notebook

ui: install ## open the sweeps in MLflow: of MLFLOW_TRACKING_URI, else mlflow.db served on port 5000 (MLFLOW_PORT=…)
	$(BIN)/python -m driver.view.mlflow_ui --port $(MLFLOW_PORT)

bench: install ## measure the speed of everything in its short form, some minutes: docs/performance.md has the long ones
	$(BIN)/python -m benchmarks.training --rounds 1 --n-train 64
	$(BIN)/python -m benchmarks.training --rounds 1 --n-train 32 --model resnet18 --only gradmask
	$(BIN)/python -m benchmarks.networks --rounds 1 --steps 1
	$(BIN)/python -m benchmarks.images.memory --images 1000 --together 1
	$(BIN)/python -m benchmarks.images.speed --rounds 1 --images 400
	$(BIN)/python -m benchmarks.methods --rounds 1 --n-train 64
	$(BIN)/python -m benchmarks.attribution --rounds 1 --images 32 --only gradmask
	$(BIN)/python -m benchmarks.sweep_overhead --rounds 1 --stubs 24 --trials 8
	$(BIN)/python -m benchmarks.many_trials --trials 300 --step 50
	$(BIN)/python -m benchmarks.many_runs --trials 100 --rounds 1
	$(BIN)/python -m benchmarks.scale --sizes 200 --sizes 1000 --part plan --part records --part mlflow-sqlite

gpu-check: install ## compare a GPU with the processor: methods, maps, repeated runs, shared memory, speed (GPU_ARGS=…)
	PYTHONPATH=tests $(BIN)/python -m support.gpu_check $(GPU_ARGS)

calibration: install ## apply the analysis to simulated sweeps with a known truth; resumes where it was stopped
	$(BIN)/python -m benchmarks.calibration

$(VENV)/.mutation: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[mutation]'
	@touch $@

mutation: $(VENV)/.mutation ## change the code of statistics, records and trials at random, and count the changes that quick tests notice
	$(BIN)/python tests/support/mutation.py --out build/mutation

# kfp pins older libraries than the project has, so it lives in an environment of its own that sees the project's.
$(KUBEFLOW)/.installed: k8s/kubeflow/requirements.txt $(VENV)/.installed
	$(BIN)/python -m venv $(KUBEFLOW)
	env -u PIP_CONSTRAINT $(KUBEFLOW)/bin/pip install --quiet --disable-pip-version-check --requirement k8s/kubeflow/requirements.txt
	echo "import site; site.addsitedir('$(CURDIR)/$(VENV)/lib/$(notdir $(wildcard $(VENV)/lib/python*))/site-packages')" \
		> "$$($(KUBEFLOW)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
	@touch $@

pipeline: $(KUBEFLOW)/.installed ## compile the Kubeflow pipeline (OVERLAY=mine-laptop for that sweep's RayJob)
	$(BIN)/kubectl kustomize k8s/sweeps/$(OVERLAY) | $(KUBEFLOW)/bin/python k8s/kubeflow/pipeline.py k8s/kubeflow/pipeline.yaml

faults: install ## kill and suspend drivers, trial processes and MLflow servers in one sweep, and commands of 80 others
	$(BIN)/python tests/support/faults.py --kills 20 --freezes 10
	$(BIN)/python tests/support/suspended.py --times 20
	$(BIN)/python tests/support/first_seconds.py --kills 40

clean: ## remove .venv, the site and caches; sweeps and MLflow's data stay
	rm -rf $(VENV) build .pytest_cache .ruff_cache .mypy_cache *.egg-info
