# make run           the default experiment, from nothing to results/report/index.html
# make test          the tests of every day, with one small run of the whole workflow; minutes
# make test-all      all tests: real browsers and clusters, kills, hundreds of runs, simulations too
# make lint          all checks of form; make format mends what can be mended
# make docs          the documentation, docs/_build/html/index.html, after writing config/REFERENCE.md and the JSON schema
# make dist          wheel and source archive in dist/, the same bytes at every build of one commit
# make check-slurm   the jobs that `snakemake --profile profiles/slurm` (or PROFILE) would submit; needs no cluster
# make bench         cost of everything beside other tools, written to docs/performance.md after a default run (RESULTS=results);
#                    ENVIRONMENTS=folder with the environments `mace` and `nequip` (envs/external/) adds their updates
# make check-gpu     the checks of one GPU, a table and results/gpu_card.json, in MINUTES=8. Uses PYTHON and its torch as they
#                    are, creates no environment, and first unpacks wheels/ if it is there: docs/howto/gpu.md
# make check-gpu-wheels  what a machine with a GPU and no network lacks for that, into wheels/: GPU_PYTHON=3.12, its Python;
#                    HAS=torch,e3nn,..., its packages; ACAC=folder of the acetylacetone files
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
RESULTS ?= results
MINUTES ?= 8
GPU_PYTHON ?= 3.12
HAS ?= torch,e3nn,numpy,scipy,pandas,xarray
READY := $(VENV)/ready$(TORCH:%=-%)
export PATH := $(abspath $(VENV))/bin:$(PATH)

# make knows no names with spaces; one in the path of the project is no matter
ifneq ($(words $(VENV)),1)
$(error VENV: expected a path without spaces, got '$(VENV)')
endif

.PHONY: run test test-all check-slurm check-gpu check-gpu-wheels bench calibrate check-reliability mutants lint format docs
.PHONY: potentials dist clean

run: $(READY)
	python -m snakemake --cores $(CORES) $(ARGS)
	@cat results/report/README.md 2>/dev/null || true
	@echo "The report: $$PWD/results/report/index.html"

test: $(READY)-dev
	python -m pytest -n 2 -m "not slow" $(ARGS)

test-all: $(READY)-dev
	python -m pytest -n 3 --durations=40 $(ARGS)

check-slurm: $(READY)-slurm
	python profiles/slurm/check.py --profile "$(PROFILE)" $(ARGS)

bench: $(VENV)/bench/ready
	$(VENV)/bench/bin/python -W ignore tests/bench/performance.py --results "$(RESULTS)" --environments "$(ENVIRONMENTS)" \
		--out docs/performance.md $(ARGS)

check-gpu:
	@if ls wheels/*.whl >/dev/null 2>&1; then "$(PYTHON)" -m pip install --quiet --disable-pip-version-check --no-index --no-deps \
		--no-compile --upgrade --target wheels/site wheels/*.whl; fi
	"$(PYTHON)" -W ignore tests/bench/gpu/card.py --minutes $(MINUTES) \
		--out "$(RESULTS)/gpu_card.json" --acac wheels/acac.zarr.zip $(ARGS)

check-gpu-wheels: $(READY)
	python tests/bench/gpu/wheels.py --out wheels --python $(GPU_PYTHON) --has $(HAS) --acac "$(ACAC)"

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
$(VENV)/bench/ready: $(READY)-dev
	sh envs/create.sh "$(abspath $(VENV))/bin/python" "$(VENV)/bench" "" ".[bench]" ready

$(VENV)/docs/ready: $(READY)
	sh envs/create.sh "$(abspath $(VENV))/bin/python" "$(VENV)/docs" "" ".[docs,release]" ready

clean:
	rm -rf "$(VENV)" docs/_build .pytest_cache .ruff_cache
