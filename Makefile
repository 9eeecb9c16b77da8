# For a newcomer: `make demo`, then `make test`. While you work: `make quick`, `make lint`. `make hardening`: fuzzing, kills, what needs
# Ray or Gradio, inference on the competition's library versions. Each makes the environment that it needs on its first run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := .venv-runtime
RUNTIME_PYTHON ?= $(firstword $(foreach python,python3.12 python3.11,$(shell $(python) -c 'print("$(python)")' 2>/dev/null)))
PYTEST := $(BIN)/python -m pytest -n 2
EXTRAS := dev,page,serve,piper,ray
OPTIONAL := tests/cluster tests/api tests/page tests/speech/test_recorders.py

.PHONY: demo quick test hardening lint constraints bench bench-check fuzz kill runtime clean

demo: $(VENV)/.installed
	$(BIN)/python tools/run_demo.py

quick: $(VENV)/.installed
	$(PYTEST) -m "not slow" --ignore tests/hardening

test: $(VENV)/.installed
	$(PYTEST)

hardening: $(VENV)/.installed-optional fuzz kill runtime
	$(BIN)/python -m pytest tests/hardening $(OPTIONAL)

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

constraints: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --dry-run --ignore-installed -r requirements.txt -e '.[$(EXTRAS)]' -c constraints.txt

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/speed.py --clips 64 --turns 5 --growth

bench-check: $(VENV)/.installed
	$(BIN)/python benchmarks/speed.py --check

fuzz: $(VENV)/.installed
	$(BIN)/python tools/fuzz.py --cases 5000

kill: $(VENV)/.installed
	$(BIN)/python tools/kill_runs.py

runtime: $(RUNTIME)/.installed
	$(RUNTIME)/bin/python tools/runtime_tests.py -q -p no:cacheprovider

$(VENV)/.installed: pyproject.toml requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; give one as PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt -e '.[dev]'
	touch $@

$(VENV)/.installed-optional: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e '.[page,serve,ray]' playwright
	touch $@

$(RUNTIME)/.installed: requirements-runtime.txt
	test -n "$(RUNTIME_PYTHON)" || { echo "Python 3.12 or 3.11 is needed; give one as RUNTIME_PYTHON=..."; exit 1; }
	$(RUNTIME_PYTHON) -m venv --clear $(RUNTIME)
	$(RUNTIME)/bin/python -m pip install --quiet --upgrade pip
	$(RUNTIME)/bin/python -m pip install --quiet -r requirements-runtime.txt pytest hypothesis
	touch $@

clean:
	rm -rf demo .pytest_cache .ruff_cache .mypy_cache .import_linter_cache build *.egg-info
