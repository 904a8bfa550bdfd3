# make run           the default experiment, from nothing to results/report/index.html
# make test          the tests of every day, with one small run of the whole workflow; minutes
# make test-all      all tests: real browsers and clusters, kills, hundreds of runs, simulations too
# make lint          all checks of form; make format mends what can be mended
# make docs          the documentation, docs/_build/html/index.html, after writing config/REFERENCE.md and the JSON schema
# make dist          wheel and source archive in dist/, the same bytes at every build of one commit
# make check-slurm   the jobs that `snakemake --profile profiles/slurm` (or PROFILE) would submit; needs no cluster
# make bench         cost of twirling and curvature in units of forward passes and gradients, and cost of reading data
# make calibrate     how often intervals hold a known truth, written to docs/calibration.md; minutes
# make mutants       share of small changes of the central modules that their tests notice, written to docs/mutants.md; an hour,
#                    ARGS=loss_split for one
# make check-reliability  faults, such as 200 kills and full disks, and what became of the runs, to docs/reliability.md
# make potentials    equivariance errors of published potentials, written to docs/potentials.md: ENVIRONMENTS=folder of their
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

# make knows no names with spaces; one in the path of the project is no matter
ifneq ($(words $(VENV)),1)
$(error VENV: expected a path without spaces, got '$(VENV)')
endif

.PHONY: run test test-all check-slurm bench calibrate check-reliability mutants lint format docs potentials dist clean

run: $(READY)
	python -m snakemake --cores $(CORES) $(ARGS)
	@cat results/report/README.md 2>/dev/null || true
	@echo "The report: $$PWD/results/report/index.html"

test: $(READY)-dev
	python -m pytest -n 2 -m "not slow" $(ARGS)

test-all: $(READY)-dev
	python -m pytest -n 2 --durations=40 $(ARGS)

check-slurm: $(READY)-slurm
	python profiles/slurm/check.py --profile "$(PROFILE)" $(ARGS)

bench: $(READY)-dev
	python tests/bench/bench_twirl.py
	python tests/bench/bench_hessian.py
	python tests/bench/bench_reading.py

calibrate: $(READY)-dev
	python tests/bench/calibrate.py --out docs/calibration.md

check-reliability: $(READY)-dev
	python tests/bench/check_reliability.py --out docs/reliability.md

mutants: $(READY)-mutants
	python tests/bench/mutants.py --out docs/mutants.md $(ARGS)

lint: $(READY)-dev
	python -m ruff check .
	python -m ruff format --check .
	python -m snakefmt --check Snakefile workflow
	python -m snakemake --lint

format: $(READY)-dev
	python -m ruff check --fix .
	python -m ruff format .
	python -m snakefmt Snakefile workflow

docs: $(READY) $(VENV)/docs/ready
	python -m twirlscope.planning.config_docs --fix
	$(VENV)/docs/bin/python -m sphinx --fail-on-warning --fresh-env -q -d docs/_build/doctrees docs docs/_build/html
	@echo "The documentation: $(CURDIR)/docs/_build/html/index.html"

dist: $(VENV)/docs/ready
	@version=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) && grep -q "^version: $$version$$" CITATION.cff && \
	grep -q "^## $$version" CHANGELOG.md || { echo "pyproject.toml, CITATION.cff, CHANGELOG.md: not one version"; exit 1; }
	$(VENV)/docs/bin/cffconvert --validate
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(VENV)/docs/bin/python -m hatchling build --clean

potentials: $(READY)-dev
	python tests/bench/potentials/measure.py --environments "$(ENVIRONMENTS)" --data "$(ACAC)" $(ARGS)

$(READY): pyproject.toml envs/constraints.txt envs/create.sh
	sh envs/create.sh "$(PYTHON)" "$(VENV)" "$(TORCH)" ".[all]" $(@F)

$(READY)-dev: $(READY)
	sh envs/create.sh "$(PYTHON)" "$(VENV)" "$(TORCH)" ".[test,oracle,lint,slurm]" $(@F)

$(READY)-mutants: $(READY)
	sh envs/create.sh "$(PYTHON)" "$(VENV)" "$(TORCH)" ".[test,mutants]" $(@F)

$(READY)-slurm: $(READY)
	sh envs/create.sh "$(PYTHON)" "$(VENV)" "$(TORCH)" ".[slurm]" $(@F)

# tools of their own beside the packages of the environment, which they see and do not change
$(VENV)/docs/ready: $(READY)
	sh envs/create.sh "$(abspath $(VENV))/bin/python" "$(VENV)/docs" "" ".[docs,release]" ready

clean:
	rm -rf "$(VENV)" docs/_build .pytest_cache .ruff_cache
