# `make help` lists the targets. Needed: Linux, Python 3.11 or newer, git, make.
#   make mini PYTHON=/path/to/python3.12     another Python
#   make mini PIP_ARGS="--extra-index-url …"  options for pip (see the README on torch for the CPU)

PYTHON ?= python3
PIP_ARGS ?=
GPU_ARGS ?=
BIN := .venv/bin
# Written when the installation is complete; older than pyproject.toml, it is done again.
INSTALLED := .venv/.installed
# The workflow's rules call `gta`, so the environment's programs must be found first.
IN_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"
SOURCES := tiny_ibot tiny_dino tiny_supervised

.DEFAULT_GOAL := help
.PHONY: help install mini docs grocery-page store-page mini-sources notebooks test test-slow miniature kill-test bench gpu-check lint clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

install: $(INSTALLED) ## make .venv and install the project into it

$(INSTALLED): pyproject.toml
	@command -v $(PYTHON) > /dev/null || { \
	  echo "error: there is no $(PYTHON); install Python 3.11 or newer, or name one: make PYTHON=…" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is $$($(PYTHON) --version); 3.11 or newer is needed: make PYTHON=…" >&2; \
	  exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -e '.[dev]'
	@touch $@

mini: $(INSTALLED) ## run the embedded study and write its report
	$(IN_VENV) snakemake
	$(IN_VENV) snakemake --report results/mini/report.html
	@echo
	@echo "tables   results/mini/tables/   (csv, md, tex, html)"
	@echo "figures  results/mini/figures/  (pdf, png)"
	@echo "metrics  results/mini/metrics.parquet"
	@echo "report   results/mini/report.html"
	@echo "page     results/mini/index.html"

# The pages under docs/ that show results are copies of what the workflow made: from results/mini
# and results/mini-fresh.
docs: $(INSTALLED) ## write docs/mini-results.md and its pictures, docs/fidelity.md and docs/faults.md
	mkdir -p docs/images
	cp results/mini/figures/*.png docs/images/
	{ cat docs/mini-results.head.md; \
	  sed 's/^#/##/' results/mini-fresh/tables/fresh.md; echo; \
	  for table in table2 table4 table3 table5 table6 tableA1 table1; do \
	    sed 's/^#/##/' results/mini/tables/$$table.md; echo; done; } > docs/mini-results.md
	$(BIN)/python -m tests.fidelity
	$(BIN)/python -m tests.faults > docs/faults.md

grocery-page: $(INSTALLED) ## write docs/grocery.md and its picture from results/grocery and results/grocery-lr-*
	cp results/grocery/figures/figure1.png docs/images/grocery-figure1.png
	$(BIN)/python docs/grocery_page.py > docs/grocery.md

store-page: $(INSTALLED) ## write into docs/data.md what a store's size changes, from results/grocery
	$(BIN)/python docs/store_page.py

mini-sources: $(INSTALLED) ## train the shipped tiny sources again, from nothing
	for source in $(SOURCES); do \
	  $(BIN)/gta source train $$source --out gta/models/weights/$$source.safetensors || exit 1; \
	done

notebooks: $(INSTALLED) ## open the notebooks in JupyterLab
	$(IN_VENV) jupyter lab notebooks

test: $(INSTALLED) ## run the tests
	OMP_NUM_THREADS=1 $(IN_VENV) python -m pytest -n 2 -m "not slow"

test-slow: $(INSTALLED) ## run the tests that take minutes
	OMP_NUM_THREADS=1 $(IN_VENV) python -m pytest -m slow

miniature: $(INSTALLED) ## run and check the paper's study in miniature, in build/miniature
	$(IN_VENV) python -m pytest -q -s tests/miniature

kill-test: $(INSTALLED) ## kill training 50 times and compare what it ends with (`make test`: 5 times)
	GTA_KILLS=50 OMP_NUM_THREADS=1 $(IN_VENV) python -m pytest -q -s tests/train/test_kill.py

bench: $(INSTALLED) ## measure speed as ratios, into results/bench.json
	$(IN_VENV) python -m benchmarks

# Needs no installation: any Python that has torch with CUDA and the packages that training imports.
gpu-check: ## on a machine with a GPU: test and measure training on it, into docs/gpu.md (GPU_ARGS=…)
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m benchmarks gpu $(GPU_ARGS)

lint: $(INSTALLED) ## check style, types and the workflow
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/snakefmt --check workflow
	$(IN_VENV) snakemake --lint

clean: ## remove .venv and caches; data and results stay
	rm -rf .venv .snakemake .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
