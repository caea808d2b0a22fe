# Each target sets up .venv by itself: the first time takes a minute or two, later ones take no time.
#
#   make clean demo PYTHON=python3.12  another Python than python3 (3.11 or newer)
#   make demo SEED=1 RUN_DIR=runs/one  another seed, another run folder
#   make demo PIP_ARGS='...'           more arguments for pip, say where CPU builds of torch are kept

PYTHON   ?= python3
PIP_ARGS ?=
VENV     ?= .venv
SEED     ?= 0
RUN_DIR  ?= runs/demo

# Tests run in several processes, each file in one of them: what a file's tests share is made once.
SPREAD  ?= -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed

CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "matinee needs Python 3.11 or newer; '$(PYTHON)' says: $$($(PYTHON) --version 2>&1 || true)." \
	"Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-browser check format docs docs-check newest clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP) ## Fine-tune on 1,000 IMDB reviews, score on 2,000 others, then judge two sentences
	$(BIN)/matinee train imdb --recipe recipes/imdb-minilm-quick.yaml --seed $(SEED) --run-dir $(RUN_DIR) --overwrite
	$(BIN)/matinee predict $(RUN_DIR) "A warm, funny film that I would gladly see again."
	$(BIN)/matinee predict $(RUN_DIR) "Dull from the first scene to the last: a waste of two hours."

test: $(STAMP) ## Run every test that needs no network, accelerator or browser
	$(BIN)/python -m pytest --durations=10 $(SPREAD) -m "not network and not gpu and not browser"

test-browser: $(STAMP) ## Run the tests that look at pages in headless Chromium
	$(BIN)/python -m pytest --durations=10 -m browser

check: $(STAMP) ## Run every gate: format, lint, types, room rules, generated pages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/docs.py --check

format: $(STAMP) ## Format the code and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## Write docs/cli.md, docs/settings.md, docs/checks.md and README's picture anew
	$(BIN)/python scripts/docs.py

docs-check: $(STAMP) ## Fail if one of them is out of date
	$(BIN)/python scripts/docs.py --check

# Everything but torch is taken at its newest release. torch is held at the version in constraints.txt, installed first:
# a newer one is a download of several gigabytes of CUDA libraries, which this check of our ranges does not need.
newest: ## Install the newest release of everything we allow into a throw-away folder, import it all, count it
	@$(CHECK_PYTHON)
	@set -eu; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; trap 'exit 1' INT TERM; \
	$(PYTHON) -m venv "$$folder/venv"; python="$$folder/venv/bin/python"; \
	grep '^torch==' constraints.txt > "$$folder/torch.txt"; \
	"$$python" -m pip install --quiet $(PIP_ARGS) --upgrade pip; \
	"$$python" -m pip install --quiet $(PIP_ARGS) -r "$$folder/torch.txt"; \
	"$$python" -m pip install --quiet $(PIP_ARGS) --upgrade --upgrade-strategy eager -c "$$folder/torch.txt" .; \
	"$$python" scripts/import_everything.py; \
	"$$folder/venv/bin/matinee" --help > /dev/null; \
	"$$python" scripts/count_dependencies.py --below 50

clean: ## Remove .venv, caches and build output; runs/ stays
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so that an interrupted set-up is done again.
$(STAMP): pyproject.toml constraints.txt src/matinee/_version.py
	@$(CHECK_PYTHON)
	@echo "Setting up $(VENV): a minute or two, once"
	@$(PYTHON) -m venv $(VENV)
	@if [ -t 1 ]; then quiet=; else quiet=--quiet; fi; set -e; \
	$(BIN)/python -m pip install $$quiet $(PIP_ARGS) 'pip>=25.3'; \
	$(BIN)/python -m pip install $$quiet $(PIP_ARGS) -e '.[dev]' -c constraints.txt --build-constraint constraints.txt
	@touch $@
