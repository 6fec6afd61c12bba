# The commands a newcomer types. Each one works from a fresh clone: `setup` prepares .venv first.
# Without make, run the lines behind a target by hand; the README lists them.

PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
NOTEBOOK ?= --all
OUT ?= out
AT_ONCE ?= 2
BIN := .venv/bin
OLDER := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell
NUMERICS := $(addprefix memorization/test_,anchors centres clouds manifolds capacity) \
  $(addprefix engine/test_,engine evaluate folding first_layer) $(addprefix landscape/test_,hessian hessian_operator lanczos second_order traces)

# Containers often forbid Python to keep what it compiled: torch would be compiled anew in every kernel and every test's process.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup run test test-fast lint house lab bench faults notebooks evidence stable lock clean

setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; name one with make setup PYTHON=/path/to/python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

run: setup
	$(BIN)/landscape run $(NOTEBOOK) --at-once $(AT_ONCE) --out $(OUT) --figures figures

# Two processes of one thread each: what the tests compute is too small for two threads. The numerics run a second time
# with the processor playing an older one, on which sums are added up in another order.
test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --durations 20 tests/unit
	OMP_NUM_THREADS=1 $(OLDER) $(BIN)/python -m pytest -n 2 --dist worksteal $(NUMERICS:%=tests/unit/%.py)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --timeout 1800 --durations 20 tests/notebooks tests/browser

# For the hand, between two edits.
test-fast: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal tests/unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Draw the rooms and who imports whom into CONTRIBUTING.md.
house: setup
	$(BIN)/python -m tests.house

lab: setup
	$(BIN)/landscape lab

# Writes docs/benchmarks.md. The three large jobs take half an hour: python -m tests.benchmarks.large
bench: setup
	$(BIN)/python -m tests.benchmarks

faults: setup
	$(BIN)/python -m pytest tests/unit/kit/test_store.py tests/unit/training/test_training.py -k "kill or truncated or flipped or full" --kills 20

# Refresh the outputs that the committed notebooks carry.
notebooks: setup
	$(BIN)/python -m tests.notebooks.refresh

# Run the quick studies on one thread, on two, and as an older processor: no part may flip between seen and not seen.
stable: setup
	$(BIN)/python -m tests.notebooks.stable $(NOTEBOOKS)

# Run the laptop profile on the real images at LANDSCAPE_DATA, and keep what is found in docs/findings.
evidence: setup
	$(BIN)/python -m tests.notebooks.evidence $(NOTEBOOKS)

lock:
	uv pip compile pyproject.toml --all-extras --universal --generate-hashes --no-header --python-version 3.11 -o requirements.lock

clean:
	rm -rf .venv $(OUT)
