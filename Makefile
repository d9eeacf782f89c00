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
.PHONY: help install quick mini docs docs-serve mini-sources notebooks test test-slow test-isa miniature lowest kill-test bench gpu-check lint clean

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

quick: $(INSTALLED) ## a first look at the embedded study, in minutes
	$(IN_VENV) snakemake --configfile config/mini.yaml config/mini-quick.yaml
	@echo
	@cat results/mini-quick/tables/quick.md
	@echo "page     results/mini-quick/index.html"

mini: $(INSTALLED) ## run the embedded study and write its report
	$(IN_VENV) snakemake
	$(IN_VENV) snakemake --report results/mini/report.html
	@echo
	@echo "tables   results/mini/tables/   (csv, md, tex, html)"
	@echo "figures  results/mini/figures/  (pdf, png)"
	@echo "metrics  results/mini/metrics.parquet"
	@echo "report   results/mini/report.html"
	@echo "page     results/mini/index.html"

# Generated pages bear a digest of what they are made of; a test fails where one is older. Pages
# whose results are not here are left as they are.
docs: $(INSTALLED) ## write the generated pages of docs/ and README.md from results
	$(BIN)/python -m docs.make

docs-serve: $(INSTALLED) ## serve the documentation on http://127.0.0.1:8000
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -e '.[docs]'
	$(IN_VENV) mkdocs serve

mini-sources: $(INSTALLED) ## train the shipped tiny sources again, from nothing
	for source in $(SOURCES); do \
	  $(BIN)/gta source train $$source --out gta/models/weights/$$source.safetensors || exit 1; \
	done

notebooks: $(INSTALLED) ## open the notebooks in JupyterLab
	$(IN_VENV) jupyter lab notebooks

test: $(INSTALLED) ## run the tests
	OMP_NUM_THREADS=1 $(IN_VENV) python -m pytest -n 2 --dist loadgroup -m "not slow"

test-slow: $(INSTALLED) ## run the tests that take minutes
	OMP_NUM_THREADS=1 $(IN_VENV) python -m pytest -m slow

# Kernels round otherwise on a processor without AVX-512 or AVX2; the tolerances must bear it.
NUMERIC := tests/methods tests/fidelity tests/models/test_cls_row.py tests/models/test_taps.py \
  tests/train/test_computing.py tests/train/test_loss.py tests/train/test_microbatch.py
test-isa: $(INSTALLED) ## run the numeric tests with the kernels of older processors
	for isa in "default SSE41" "avx2 AVX2"; do set -- $$isa; \
	  ATEN_CPU_CAPABILITY=$$1 ONEDNN_MAX_CPU_ISA=$$2 OMP_NUM_THREADS=1 $(IN_VENV) \
	    python -m pytest -q -n 2 -m "not slow" $(NUMERIC) || exit 1; \
	done

miniature: $(INSTALLED) ## run and check the paper's study in miniature, in build/miniature
	$(IN_VENV) python -m pytest -q -s tests/miniature

# A layer over .venv: only what pyproject.toml names is installed again, at its lowest version.
LOWEST := build/lowest
lowest: $(INSTALLED) ## test with the lowest versions that pyproject.toml admits (but of PyTorch)
	$(BIN)/python -m venv --clear $(LOWEST)
	cd $(LOWEST)/lib/python3.* && \
	  $(CURDIR)/$(BIN)/python -c 'import site; print(*site.getsitepackages(), sep="\n")' > site-packages/over.pth
	$(BIN)/python .ci/lowest.py > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m snakemake --dry-run --quiet rules
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -q -n 2 -p no:cacheprovider -W ignore \
	  tests/study tests/results tests/tables tests/cli/test_commands.py \
	  --deselect tests/cli/test_commands.py::test_the_installed_program_prints_the_line_and_exits_with_1

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
