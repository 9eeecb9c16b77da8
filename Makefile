# Two commands for a newcomer: `make demo` and `make test`; `make bench` measures the speed of every step, `make fuzz` and `make kill` what gets lost, `make runtime` tests inference on the competition's library versions. Each makes .venv and installs what it needs on its first run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := .venv-runtime
RUNTIME_PYTHON ?= $(firstword $(foreach python,python3.12 python3.11,$(shell $(python) -c 'print("$(python)")' 2>/dev/null)))

.PHONY: demo test lint bench fuzz kill runtime clean

demo: $(VENV)/.installed
	$(BIN)/python tools/run_demo.py

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/speed.py

fuzz: $(VENV)/.installed
	$(BIN)/python tools/fuzz.py --cases 5000

kill: $(VENV)/.installed
	$(BIN)/python tools/kill_runs.py

runtime: $(RUNTIME)/.installed
	$(RUNTIME)/bin/python tools/runtime_tests.py -q -p no:cacheprovider

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(VENV)/.installed: requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; give one as PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

$(RUNTIME)/.installed: requirements-runtime.txt
	test -n "$(RUNTIME_PYTHON)" || { echo "Python 3.12 or 3.11 is needed; give one as RUNTIME_PYTHON=..."; exit 1; }
	$(RUNTIME_PYTHON) -m venv --clear $(RUNTIME)
	$(RUNTIME)/bin/python -m pip install --quiet --upgrade pip
	$(RUNTIME)/bin/python -m pip install --quiet -r requirements-runtime.txt pytest
	touch $@

clean:
	rm -rf demo .pytest_cache .ruff_cache .mypy_cache
