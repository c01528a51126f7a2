# Each target does all the set-up that it needs, in .venv and nowhere else (the servers and the
# browser of `make test` apart). PYTHON chooses the interpreter, 3.11 to 3.13.

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
PYTEST_ARGS ?=
SOAK_ROUNDS ?= 50
SOAK_BACKENDS ?= tensorflow jax torch

BIN := .venv/bin
PYTEST := $(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/pip install --quiet --constraint $(CONSTRAINTS)
SERVERS := prometheus-pushgateway prometheus promtool prometheus-alertmanager amtool chromium
PACKAGES := prometheus-pushgateway prometheus prometheus-alertmanager chromium
PROJECT := pyproject.toml $(CONSTRAINTS)

# TensorFlow's greetings are not the output that one asked for.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo serving drift test test-backends soak bench faults docs screenshots format servers clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/demo  ## train a convnet on digits and push its metrics (under a minute)
	@$(BIN)/gangplank demo

serving: SERVERS := prometheus prometheus-alertmanager
serving: PACKAGES := prometheus prometheus-alertmanager
serving: .venv/serving servers examples/serving/digits.keras  ## serve a model under watch until Ctrl-C
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/serving/up.sh \
		uvicorn --log-level warning --app-dir examples/serving app:app

drift: .venv/serving  ## send digits to it that drift, and wait for the alert
	@$(BIN)/python examples/serving/client.py

examples/serving/digits.keras: examples/serving/train.py examples/serving/digits.py | .venv/serving
	@$(BIN)/python examples/serving/train.py

test: .venv/dev servers  ## check style and types, and run all tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(PYTEST) $(PYTEST_ARGS)

# Of two processes whose PyTorch takes all cores each, the threads wait for one another.
test-backends: .venv/backends servers  ## run the tests with Keras on JAX and on PyTorch
	KERAS_BACKEND=jax $(PYTEST) -m "not once" $(PYTEST_ARGS)
	KERAS_BACKEND=torch OMP_NUM_THREADS=1 $(PYTEST) -m "not once" $(PYTEST_ARGS)

soak: .venv/backends servers  ## run the tests of threads, servers and time 50 times on busy cores (hours)
	$(BIN)/python tests/soak.py --rounds $(SOAK_ROUNDS) $(SOAK_BACKENDS) $(PYTEST_ARGS)

bench: .venv/bench  ## race the other histograms, and write the tables and charts of benchmarks/
	@mkdir -p benchmarks/results
	$(BIN)/pytest benchmarks --benchmark-json=benchmarks/results/latest.json; \
		status=$$?; $(BIN)/python benchmarks/report.py && exit $$status

faults: .venv/dev servers  ## measure what a run costs whatever its gateway does (half an hour)
	@$(BIN)/python benchmarks/faults.py

# The theme's makers announce its successor, which is not that of a build.
docs: .venv/dev  ## build the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

screenshots: .venv/demo servers  ## make the pictures of the live page in docs/ (a minute)
	@PYTHONPATH=tests $(BIN)/python docs/screenshots.py

format: .venv/dev  ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

servers:
	@for server in $(SERVERS); do \
		command -v $$server >/dev/null || exec $(MAKE) --no-print-directory install-servers \
			SERVERS='$(SERVERS)' PACKAGES='$(PACKAGES)'; \
	done

.PHONY: install-servers
install-servers:
	@if [ "$$(id -u)" = 0 ]; then sudo=; else sudo='sudo -n'; fi; \
	{ $$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install \
		-qq --yes --no-install-recommends $(PACKAGES); } >/dev/null || { \
		echo "This runs the real servers and, in tests, a browser: put $(SERVERS) on the PATH."; \
		echo "On Debian: sudo apt-get install $(PACKAGES)"; \
		exit 1; }

.venv/made:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade --constraint $(CONSTRAINTS) pip
	@touch $@

.venv/demo: .venv/made $(PROJECT)
	$(PIP) --editable '.[tensorflow,demo]'
	@touch $@

.venv/serving: .venv/demo
	$(PIP) --editable '.[drift]' --group serving
	@touch $@

.venv/dev: .venv/demo
	$(PIP) --editable '.[monitoring]' --group dev
	@touch $@

.venv/backends: .venv/dev
	$(PIP) --editable '.[tensorflow,demo,jax,torch]'
	@touch $@

.venv/bench: .venv/backends
	$(PIP) --group bench
	@touch $@

clean:  ## remove .venv and what the tools left
	rm -rf .venv site .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
