# make run      everything on the default config, from nothing to results/report/index.html
# make test     all tests          make lint     all checks of form
#
# TORCH=cpu (default), cu126, cu130 ...: which build of torch the environment gets; a Python that has torch keeps its own
# CORES=all, ARGS="...": passed on to snakemake          PYTHON=python3.12, VENV=.venv: which environment
PYTHON ?= python3
VENV ?= .venv
TORCH ?=
CORES ?= all
ARGS ?=
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: run test lint format docs clean

run: $(VENV)/ready
	snakemake --cores $(CORES) $(ARGS)
	@echo "The report: $(CURDIR)/results/report/index.html"

test: $(VENV)/ready-dev
	python -m pytest -n 2 --dist loadfile

lint: $(VENV)/ready-dev
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint

format: $(VENV)/ready-dev
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

docs: $(VENV)/ready-dev
	python -m twirlscope.document --fix

$(VENV)/ready: pyproject.toml envs/constraints.txt envs/create.sh
	sh envs/create.sh "$(PYTHON)" "$(VENV)" "$(TORCH)" .

$(VENV)/ready-dev: $(VENV)/ready
	sh envs/create.sh "$(PYTHON)" "$(VENV)" "$(TORCH)" ".[test,lint]" ready-dev

clean:
	rm -rf "$(VENV)" .pytest_cache .ruff_cache
