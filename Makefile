# Two commands set up all they need: `make demo` and `make test`.
#   TORCH=cpu   (default) the CPU build of PyTorch, a tenth of the size of the other
#   TORCH=cuda  the CUDA build, for a machine with an NVIDIA GPU
PYTHON ?= python3
VENV ?= .venv
TORCH ?= cpu
OUT ?= out/demo

BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(TORCH)
TORCH_VERSION := $(shell sed -n 's/^torch==//p' constraints.txt)
# A local version such as 2.13.0+cpu outranks the same release elsewhere, so that naming this
# index is enough; where it cannot be reached, pip takes what its own index has.
TORCH_FROM := $(if $(filter cpu,$(TORCH)),--extra-index-url https://download.pytorch.org/whl/cpu --retries 1 --timeout 15)

.PHONY: help env demo test test-slow test-encoders lint format clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -3
	@echo "  make demo       the main job, end to end, on a synthetic cohort"
	@echo "  make test       style, types, import order and tests"
	@echo "  make test-slow  the long tests"
	@echo "  make test-encoders  those of encoders, beside timm and MONAI; takes their newest releases"

env: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] < (3, 14) else f"sentinode needs Python 3.11 to 3.13, {sys.executable} is {v[0]}.{v[1]}; name another: make PYTHON=python3.11 ...")'
	@case "$(TORCH)" in cpu|cuda) ;; *) echo "TORCH is cpu or cuda, got $(TORCH)"; exit 2;; esac
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(TORCH_FROM) torch==$(TORCH_VERSION)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/sentinode demo --out $(OUT)

lint: $(READY)
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

# A process a core, each computing on one: threads that wait for each other would spin.
test: lint
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest -n $$($(BIN)/python -c "import sentinode.core as c; print(c.cores())") --dist loadfile

test-slow: $(READY)
	$(BIN)/pytest -m slow --timeout 1800

# In an environment of its own: timm needs torchvision, and that a PyTorch of the same build. Where the
# index of CPU builds cannot be reached these are CUDA builds, of several GB.
test-encoders:
	$(PYTHON) -m venv --clear $(VENV)-encoders
	$(VENV)-encoders/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH_FROM) -e '.[dev,encoders,monai]' torchvision
	OMP_NUM_THREADS=1 $(VENV)-encoders/bin/pytest -rs tests/models/encoders

format: $(READY)
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

clean:
	rm -rf $(VENV) $(VENV)-encoders out
