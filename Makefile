# make run           the default experiment, from nothing to results/report/index.html
# make test          all tests
# make lint          all checks of form; make format mends what can be mended
# make docs          config/REFERENCE.md and the JSON schema, from the settings classes
# make check-slurm   the jobs that `snakemake --profile profiles/slurm` (or PROFILE) would submit; needs no cluster
# make bench         cost of twirling and curvature in units of forward passes and gradients, and cost of reading data
# make calibrate     how often intervals hold a known truth, written to docs/calibration.md; minutes
# make mutants       share of small changes of the central modules that their tests notice; an hour, ARGS=loss_split for one
# make gallery       equivariance errors of published potentials, written to docs/gallery.md: ENVIRONMENTS=folder of their
#                    environments (envs/external/), ACAC=folder of the acetylacetone files; hours
# make clean         removes the environment and caches, no results
#
# TORCH=cpu (default), cu126, cu130 ...: torch build of a new environment; a Python that already has torch keeps it
# CORES=all, ARGS="...": passed on to snakemake          PYTHON=python3.12, VENV=.venv: Python and folder of the environment
PYTHON ?= python3
VENV ?= .venv
TORCH ?=
CORES ?= all
ARGS ?=
PROFILE ?= profiles/slurm
ENVIRONMENTS ?= environments
ACAC ?= $(TWIRLSCOPE_DATA)/forcefield/acac
READY := $(VENV)/ready$(TORCH:%=-%)
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: run test check-slurm bench calibrate mutants lint format docs gallery clean

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

calibrate: $(READY)-dev
	python tests/bench/calibrate.py --out docs/calibration.md

mutants: $(READY)-mutants
	python tests/bench/mutants.py --show $(ARGS)

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

gallery: $(READY)-dev
	python tests/bench/gallery/gallery.py --environments "$(ENVIRONMENTS)" --data "$(ACAC)" $(ARGS)

$(READY): pyproject.toml envs/constraints.txt envs/create.sh
	sh envs/create.sh "$(PYTHON)" "$(VENV)" "$(TORCH)" . $(@F)

$(READY)-dev: $(READY)
	sh envs/create.sh "$(PYTHON)" "$(VENV)" "$(TORCH)" ".[test,oracle,lint,slurm]" $(@F)

$(READY)-mutants: $(READY)
	sh envs/create.sh "$(PYTHON)" "$(VENV)" "$(TORCH)" ".[test,mutants]" $(@F)

$(READY)-slurm: $(READY)
	sh envs/create.sh "$(PYTHON)" "$(VENV)" "$(TORCH)" ".[slurm]" $(@F)

clean:
	rm -rf "$(VENV)" .pytest_cache .ruff_cache
