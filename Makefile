PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test slow fuzz benchmark gpu check docs peers picture release-check clean

demo: $(READY)
	$(BIN)/robust demo --out demo-report

test: $(READY)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow" --benchmark-disable

slow: $(READY)
	$(BIN)/python -m pytest -q -m slow

# Damaged files of every kind that robust reads, under an hour; finds are saved in fuzz-finds.
#   make fuzz ARGS="--target png --count 100000 --seed 7"
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz $(ARGS)

# Every attack, every detector, the loader. Stored in .benchmarks; to compare with the last:
#   make benchmark ARGS="--benchmark-compare --benchmark-compare-fail=mean:20%"
benchmark: $(READY)
	$(BIN)/python -m pytest -q tests/benchmarks --benchmark-only --benchmark-autosave $(ARGS)

# What needs a GPU, in eight minutes; GPU_DATA holds what experiments/gpu/data.py packs.
#   make gpu GPU_PYTHON=python3   where torch and what else is needed are there already
GPU_PYTHON ?= $(BIN)/python
GPU_DATA ?= gpu-data
GPU_OUT ?= gpu-results
gpu: $(if $(filter $(BIN)/python,$(GPU_PYTHON)),$(READY))
	$(GPU_PYTHON) -m experiments.gpu.run --data $(GPU_DATA) --out $(GPU_OUT) $(ARGS)
	$(GPU_PYTHON) -m experiments.gpu.tables $(GPU_OUT) | tee $(GPU_OUT)/RESULTS.md

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The site, with all that it shows: no page asks anything of the network.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# An environment beside ours: peers first, with ours (and its torch) behind them, because they pin
# old versions of what we share. adv-lib wants visdom, which does not build; it needs the name only.
peers: $(READY)
	$(PYTHON) -m venv .venv-peers
	site=$$(.venv-peers/bin/python -c 'import site; print(site.getsitepackages()[0])') && \
	  $(CURDIR)/$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' > $$site/ours.pth && \
	  echo "$(CURDIR)" >> $$site/ours.pth && mkdir -p $$site/visdom && touch $$site/visdom/__init__.py
	.venv-peers/bin/pip install --quiet --no-deps torchattacks adversarial-robustness-toolbox \
	  adv-lib pyautoattack pytorch-ood six medpy pymia SimpleITK bound-propagation statsmodels patsy
	.venv-peers/bin/python -m pytest -q -p no:cacheprovider tests/attacks/peers tests/metrics/peers \
	  tests/certificates/peers

# The README's picture: the demonstration's report as Chromium shows it.
picture: demo
	mkdir -p docs
	chromium --headless --no-sandbox --disable-gpu --disable-background-networking \
	  --hide-scrollbars --user-data-dir=$$(mktemp -d) --window-size=1280,2290 \
	  --screenshot=docs/report.png file://$(CURDIR)/demo-report/run/report.html

# Wheel and sdist, each installed in a fresh environment, where the demonstration runs. All that they
# need is installed, too; what .venv has serves as well, in a minute:
#   make release-check ARGS="--dependencies .venv/lib/python3.11/site-packages"
release-check: $(READY)
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m tests.release.fresh dist/*.whl dist/*.tar.gz $(ARGS)

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .venv-peers demo-report runs site fuzz-finds .pytest_cache .mypy_cache .ruff_cache .benchmarks
