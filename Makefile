# `make run` and `make test` work in a fresh clone: they run setup.sh first, which is quick when
# nothing is left to do. ARGS is passed to the program: make run ARGS="--target-fps 12"

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
SHELL_SCRIPTS = $(wildcard *.sh deploy/*.sh deploy/*/*.sh training/*.sh tests/*.sh) .ci/run
ARGS ?=
# Two files of tests at a time, since tests wait a lot; ARGS="-n 0" for one, which --pdb needs.
# In the order of the folders, so that the browser of a folder is started once by each of the two.
AT_ONCE = -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help run run-cluster test test-long bench bench-stream bench-tunnel bench-readers bench-fades bench-walk bench-sheet bench-memory fuzz soak lint format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## set up what is missing, then stream: open http://localhost:8000
	@./setup.sh
	@exec $(PYTHON) realtime_stream.py $(ARGS)

run-cluster: ## as run, painted by the workers of a Ray cluster (ARGS="--ray-workers 3"; docs/cluster.md)
	@./setup.sh --cluster
	@exec $(PYTHON) realtime_stream.py --engine ray $(ARGS)

test: ## set up what is missing, then run every test (ARGS="-k page" for some)
	@./setup.sh --dev
	$(PYTHON) -m pytest $(AT_ONCE) $(ARGS)

test-long: ## the tests that take minutes: every script killed at each of its steps, and others
	@./setup.sh --dev
	$(PYTHON) -m pytest -m long $(ARGS)

bench: ## speed of the engine on this machine (ARGS=--random-weights on a GPU without the weights)
	@./setup.sh
	$(PYTHON) -m benchmarks.engine $(ARGS)

bench-stream: ## cost of a viewer, compared with Flask, gunicorn, waitress (ARGS="--viewers 100")
	@./setup.sh --dev
	$(PYTHON) -m benchmarks.stream $(ARGS)

bench-tunnel: ## age of the pictures through a real ssh over a slow line
	@./setup.sh --dev
	$(PYTHON) -m benchmarks.tunnel $(ARGS)

bench-readers: ## age of the pictures at curl, OpenCV and the like, directly and through a real ssh
	@./setup.sh --dev
	$(PYTHON) -m benchmarks.silent_readers $(ARGS)

bench-fades: ## how evenly the picture changes during a fade, for each easing (ARGS="--pairs 3")
	@./setup.sh --dev
	$(PYTHON) -m benchmarks.fades $(ARGS)

bench-walk: ## whether the walk through noise has corners
	@./setup.sh --dev
	$(PYTHON) -m benchmarks.walk $(ARGS)

bench-sheet: ## sixteen prompts by this engine beside diffusers' own pipeline (ARGS=MODEL)
	@./setup.sh
	$(PYTHON) -m benchmarks.sheet $(ARGS)

bench-memory: ## what fits into how much memory of a GPU, for each family of models
	@./setup.sh
	$(PYTHON) -m benchmarks.memory $(ARGS)

fuzz: ## about ten minutes of random requests to the running server
	@./setup.sh --dev
	FUZZ_EXAMPLES=45000 $(PYTHON) -m pytest -s --timeout 3600 tests/robustness/test_fuzz.py tests/robustness/test_fuzz_control.py tests/page/test_reader.py

soak: ## half an hour of random viewers, prompts and faults (ARGS="--minutes 480")
	@./setup.sh --dev
	$(PYTHON) -m benchmarks.soak $(ARGS)

lint: ## check with ruff, mypy and shellcheck
	@./setup.sh --dev --no-system
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/shellcheck -x $(SHELL_SCRIPTS)

format: ## format and fix the code with ruff
	@./setup.sh --dev --no-system
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

clean: ## remove what was built and installed here: .venv and the tools' caches
	rm -rf .venv .venv.lock .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
