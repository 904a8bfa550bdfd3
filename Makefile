# make run      everything on the default config, from nothing to results/report/index.html
# make test     all tests          make lint     all checks of form
# make check-slurm   what `snakemake --profile profiles/slurm` (or PROFILE) would submit, no cluster needed
# make bench    what twirling and curvature cost beside forward passes and gradients, both in one run, and what reading costs
#
# TORCH=cpu (default), cu126, cu130 ...: which build of torch the environment gets; a Python that has torch keeps its own
# CORES=all, ARGS="...": passed on to snakemake          PYTHON=python3.12, VENV=.venv: which environment
PYTHON ?= python3
VENV ?= .venv
TORCH ?=
CORES ?= all
ARGS ?=
PROFILE ?= profiles/slurm
READY := $(VENV)/ready$(TORCH:%=-%)
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: run test check-slurm bench lint format docs clean

run: $(READY)
	snakemake --cores $(CORES) $(ARGS)
	@echo "The report: $(CURDIR)/results/report/index.html"

test: $(READY)-dev
	python -m pytest -n 2

check-slurm: $(READY)-slurm
	python profiles/slurm/check.py --profile $(PROFILE) $(ARGS)

bench: $(READY)-dev
	python tests/bench/bench_twirl.py
	python tests/bench/bench_hessian.py
	python tests/bench/bench_reading.py

lint: $(READY)-dev
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint

format: $(READY)-dev
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

docs: $(READY)-dev
	python -m twirlscope.planning.config_docs --fix

$(READY): pyproject.toml envs/constraints.txt envs/create.sh
	sh envs/create.sh "$(PYTHON)" "$(VENV)" "$(TORCH)" . $(@F)

$(READY)-dev: $(READY)
	sh envs/create.sh "$(PYTHON)" "$(VENV)" "$(TORCH)" ".[test,oracle,lint,slurm]" $(@F)

$(READY)-slurm: $(READY)
	sh envs/create.sh "$(PYTHON)" "$(VENV)" "$(TORCH)" ".[slurm]" $(@F)

clean:
	rm -rf "$(VENV)" .pytest_cache .ruff_cache
