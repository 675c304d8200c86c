# Two commands matter: `make reproduce` and `make test`. Both need only Python 3.11+ and make.
PYTHON ?= python3
comma := ,
VENV := .venv
BIN := $(VENV)/bin
# Extras of pyproject.toml to install for all but the reproduction; the GPU kernels need triton besides, 1 GB unpacked.
EXTRAS ?= dev,peers,cluster
# Of `make fuzz`; it goes on where the last call ended.
CASES ?= 20000
# One stamp for the empty environment, one for the library, and one for each choice of extras, so that another choice
# installs again.
ENVIRONMENT := $(VENV)/.made
LIBRARY := $(VENV)/.installed
INSTALLED := $(LIBRARY)-$(subst $(comma),-,$(EXTRAS))
# The site needs two extras: GSTools is among the peers, and a page compares its conventions with ours.
CHOSEN := $(subst $(comma), ,$(EXTRAS))
DOCUMENTING := $(if $(and $(filter docs,$(CHOSEN)),$(filter peers,$(CHOSEN))),$(INSTALLED),$(LIBRARY)-docs-peers)
# Python compiles what is imported, which is a small part of what is installed, and keeps it, whatever the environment
# says: every process would compile it anew.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt

.PHONY: install reproduce test test-slow docs fuzz lint format bench budgets clean help

help:
	@echo "make reproduce   every figure, table and verdict, then paper_repro/out/report.html"
	@echo "make test        the test suite (test-slow: also the long tests)"
	@echo "make fuzz        hostile calls of the core, CASES=20000 more of them, counted in tests/fuzz/record.json"
	@echo "make docs        the site, then a check of it: docs/_build/html/index.html"
	@echo "make lint        ruff check, ruff format --check, mypy    (make format: rewrite)"
	@echo "make bench       timings, as ratios, into benchmarks/results/"
	@echo "make install     the environment of all of these, which each installs by itself"
	@echo "make budgets     minutes of every command above against what it may take"

# Stamps are written last, so an interrupted installation is repeated.
$(ENVIRONMENT): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "warptheory needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(LIBRARY): $(ENVIRONMENT)
	$(PIP) --editable .
	@touch $@

# Which installs the library as well.
$(sort $(INSTALLED) $(DOCUMENTING)): $(LIBRARY)-%: $(ENVIRONMENT)
	$(PIP) --editable '.[$(subst -,$(comma),$*)]'
	@touch $(LIBRARY) $@

install: $(INSTALLED)

reproduce: $(LIBRARY)
	$(BIN)/warptheory reproduce

test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto -m "not slow"

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n auto

# Everything is executed and drawn; warnings are errors, and nothing is loaded from another host.
docs: $(DOCUMENTING)
	$(BIN)/python -m sphinx -W --keep-going --jobs auto --quiet docs docs/_build/html
	$(BIN)/python -m docs.check docs/_build/html

fuzz: $(INSTALLED)
	$(BIN)/python -m tests.fuzz --cases $(CASES)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)
	$(BIN)/warptheory bench

budgets: $(INSTALLED)
	$(BIN)/python benchmarks/budgets.py

clean:
	rm -rf $(VENV) paper_repro/out docs/_build docs/generated docs/gallery docs/_gallery
