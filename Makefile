# Everything runs in .venv, which the targets below create. PYTHON chooses the interpreter it is made from.
PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# One thread for BLAS and PyTorch: tests are many and small. The threads of our own kernels are not touched.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench docs constraints clean
.DELETE_ON_ERROR:

help:  ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/.base  ## Reconstruct a CT slice from few noisy views; needs nothing but Python, make and git
	$(BIN)/wellposed demo --output demo-output

test: $(VENV)/.dev  ## Run the tests and the examples in the docstrings; ARGS goes to pytest
	$(ONE_THREAD) MPLBACKEND=Agg $(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev  ## Check style, types and the layering of the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev  ## Apply the formatter and the safe fixes of the linter
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.bench  ## Measure against other libraries; ARGS goes to the benchmarks
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.docs  ## Build the manual as a web site in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

constraints:  ## Resolve constraints.txt afresh from pyproject.toml
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --disable-pip-version-check \
	    --editable '.[bench,distributed,docs,lint,nifti,test,torch]' 'torch==$(TORCH)'
	{ sed '/^#/!d' constraints.txt; \
	  build/constraints/bin/python -m pip freeze --exclude wellposed | sed 's/+cpu$$//'; \
	} > build/constraints.txt
	mv build/constraints.txt constraints.txt
	rm -rf build/constraints

# The release of PyTorch is chosen by hand, as the largest download by far.
TORCH := 2.13.0

clean:  ## Remove the environment, the caches and what the demo wrote
	rm -rf $(VENV) build dist demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find wellposed tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# An install is repeated only when what it depends on has changed.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	    f"wellposed needs Python 3.11 or later, {sys.executable} is {sys.version.split()[0]}: set PYTHON=")'
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.base: $(VENV)/.python pyproject.toml constraints.txt
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[distributed,lint,nifti,test,torch]'
	@touch $(VENV)/.base $@

$(VENV)/.bench: $(VENV)/.python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[bench]'
	# celer asks for a package of data sets that does not build everywhere, and that nothing here needs.
	$(INSTALL) --no-deps celer==0.7.4
	@touch $(VENV)/.base $@

$(VENV)/.docs: $(VENV)/.python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[docs]'
	@touch $(VENV)/.base $@
