# The GAN book. `make book` builds it, `make test` checks everything, `make check` is for every change.
#
#   make PYTHON=python3.12 book     picks the interpreter for a new .venv
#   make JOBS=8 test                uses more cores
#
# The plain commands beneath each target stand in README.md, for machines without make.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
PY     := $(VENV)/bin/python
T      := tests/tools

# One thread for each process, and none that spins while it waits: measured, see CONTRIBUTING.md.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE
export GAN_BOOK_TIER   ?= cpu
export PYTHONUTF8 := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

UNIT := tests --ignore=tests/book --ignore=tests/claims

.PHONY: help setup book wheel check test lint types unit notebooks claims built-book pages \
        portable test-portable oldest zip pdf site links colab system ci student exercises stamp cover clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile
	@echo "Targets:"
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /  \1|/' | awk -F'|' '{printf "%-11s %s\n", $$1, $$2}'

setup: ## the environment, once (with the network)
	@$(PYTHON) $(T)/set_up.py --venv $(VENV)

# The book, in _build/html. The outputs in the notebooks are shown as they are stored; generators
# that run in its pages are added, where Node.js's npm has fetched what runs them (`make setup`).
book: setup ## the book, in _build/html
	$(VENV)/bin/jupyter-book build book/
	$(PY) $(T)/make_live.py
	@test -f _build/html/index.html
	@echo "The book stands in _build/html/index.html"

# After each change, under three minutes: lint, types, fast tests, the notebooks that changed.
check: setup ## after each change: lint, types, fast tests, changed notebooks
	$(MAKE) --no-print-directory lint types
	$(PY) -m pytest tests -m "not slow and not browser and not book" -n $(JOBS) --dist loadfile -q
	$(PY) $(T)/run_notebooks.py --changed --jobs $(JOBS)

# Everything. Each line fails the whole when it fails.
test: setup ## everything
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory types
	$(MAKE) --no-print-directory unit
	$(MAKE) --no-print-directory notebooks
	$(MAKE) --no-print-directory claims
	$(MAKE) --no-print-directory built-book
	$(MAKE) --no-print-directory pages
	@echo "make test: everything passed"

lint:
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types:
	$(PY) -m mypy

unit:
	$(PY) -m pytest $(UNIT) -n $(JOBS) --dist loadfile --durations=10

# The wheel, and a light environment that sees the torch of $(VENV) but only the wheel's gan_book.
wheel: setup ## the package as a wheel, alone in its environment
	$(PY) $(T)/wheel_venv.py

# Copies of the notebooks, in an empty folder, with the wheel only.
notebooks: wheel
	$(PY) $(T)/run_notebooks.py --wheel --jobs $(JOBS)

claims:
	$(PY) -m pytest tests/claims

# A clean build, warnings as errors, every reference resolved, within 60 seconds.
built-book:
	$(PY) $(T)/build_book.py --seconds 60
	$(PY) $(T)/make_live.py

# What was built: no request leaves the site, links, launch buttons, alt texts, phone width.
pages:
	$(PY) -m pytest tests/book -n $(JOBS) --dist worksteal

# The notebooks once more, as a CPU without AVX-512 computes them.
portable test-portable: wheel
	$(PY) $(T)/run_notebooks.py --wheel --portable --jobs $(JOBS)

# The oldest torch we support, in its own environment (a slow installation).
oldest: ## the unit tests with the oldest torch we support
	@$(PYTHON) $(T)/set_up.py --oldest
	.venv-oldest/bin/python -m pytest $(UNIT) -m "not slow" -n $(JOBS) --dist loadfile -q

# The offline edition: the book, its notebooks and the package in one file that opens from disk.
zip: book ## the offline edition, _build/gan-book-offline.zip
	$(PY) $(T)/make_zip.py

# The book on paper: cover, contents with page numbers, links and bookmarks (needs Chromium).
pdf: book ## the book as one PDF, _build/gan-book.pdf
	$(PY) $(T)/make_pdf.py

# What is published: the pages, with the PDF and the offline edition beside them.
site: zip pdf ## all that is published, _build/site
	rm -rf _build/site && cp -R _build/html _build/site
	cp _build/gan-book.pdf _build/gan-book-offline.zip _build/site/

# Every address outside of the book is asked whether it is still there (with the network).
links: setup ## which links to other sites no longer lead anywhere
	$(PY) $(T)/check_links.py

# The notebooks as Colab runs them: inside its image, with its Python and its torch.
colab: ## the notebooks with the Python that is here, as in Colab's image
	$(PYTHON) $(T)/colab.py --jobs $(JOBS)

# What continuous integration runs: all of it on a bare machine, the tests without a network.
system: ## browser, fonts, npm from the system's packages
	.ci/system

ci: ## set-up, book and all tests, as on a bare machine
	.ci/run

# For teachers: the notebooks without solutions.
student: setup ## the notebooks without solutions, _build/student
	$(PY) $(T)/make_student.py

exercises: setup ## the page of all exercises, book/exercises.md
	$(PY) $(T)/make_exercises.py --write

# Run notebooks, store outputs, write down date and versions: make stamp NOTEBOOKS=book/dcgan.ipynb
stamp: setup ## runs notebooks and stamps them (NOTEBOOKS=..., default all)
	$(PY) $(T)/stamp.py $(NOTEBOOKS)

cover: setup ## cover, logo and favicon, painted by the shipped model
	$(PY) $(T)/make_cover.py

clean: ## removes what make made
	rm -rf _build build dist .venv-wheel .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
