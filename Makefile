# `make run` and `make test` need nothing done before them: setup.sh comes first, and is quick
# when nothing is left to do. ARGS reaches the program: make run ARGS="--target-fps 12"

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
SHELL_SCRIPTS = $(wildcard *.sh deploy/*.sh deploy/*/*.sh training/*.sh) .ci/run
ARGS ?=

.PHONY: help run test test-long bench bench-stream bench-tunnel bench-plain fuzz soak lint format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## set up what is missing, then stream: open http://localhost:8000
	@./setup.sh
	@exec $(PYTHON) realtime_stream.py $(ARGS)

test: ## set up what is missing, then run every test (ARGS="-k page" for some)
	@./setup.sh --dev
	$(PYTHON) -m pytest $(ARGS)

test-long: ## the tests that take minutes: every script killed at each of its steps, and more
	@./setup.sh --dev
	$(PYTHON) -m pytest -m long $(ARGS)

bench: ## how fast this machine paints (ARGS=--random-weights on a GPU without the weights)
	@./setup.sh
	$(PYTHON) -m benchmarks.engine $(ARGS)

bench-stream: ## what a viewer costs, beside Flask's own server, gunicorn, waitress (ARGS="--viewers 100")
	@./setup.sh --dev
	$(PYTHON) -m benchmarks.stream $(ARGS)

bench-tunnel: ## how old the picture is through a real ssh over a narrow line
	@./setup.sh --dev
	$(PYTHON) -m benchmarks.tunnel $(ARGS)

bench-plain: ## how old the picture is at curl, OpenCV and the like, directly and through a real ssh
	@./setup.sh --dev
	$(PYTHON) -m benchmarks.plain $(ARGS)

fuzz: ## ten minutes or so of anything at all, sent to the running server
	@./setup.sh --dev
	FUZZ_EXAMPLES=45000 $(PYTHON) -m pytest -s --timeout 3600 tests/robustness/test_fuzz.py tests/page/test_reader.py

soak: ## half an hour of viewers, prompts and faults at random (ARGS="--minutes 480")
	@./setup.sh --dev
	$(PYTHON) -m benchmarks.soak $(ARGS)

lint: ## ruff, mypy, shellcheck: complain
	@./setup.sh --dev --no-system
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/shellcheck -x $(SHELL_SCRIPTS)

format: ## ruff: put the code in order
	@./setup.sh --dev --no-system
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

clean: ## remove what was built and installed here: .venv and the tools' caches
	rm -rf .venv .venv.lock .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
