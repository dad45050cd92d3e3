# Every target makes .venv and installs what it needs; nothing outside it is touched but the
# cache of models and recordings that all checkouts share.
PYTHON ?= python3
BIN := .venv/bin
QUESTION ?= What do bees make?

.PHONY: talk test check laws mutants bench models recordings clean

.venv/made:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

.venv/talk: .venv/made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[cli,local,local-eyes]'
	touch $@

.venv/test: .venv/talk
	$(BIN)/python -m pip install --quiet --editable '.[cli,local,local-eyes,aws,gemini,openai,webrtc,test]'
	touch $@

.venv/dev: .venv/test
	$(BIN)/python -m pip install --quiet --editable '.[cli,local,local-eyes,aws,gemini,openai,webrtc,test,dev]'
	touch $@

models: .venv/talk
	$(BIN)/realtime models install

recordings:
	sh tests/recordings.sh

talk: models
	$(BIN)/realtime talk local --say "$(QUESTION)" --output answer.wav

test: .venv/test models recordings
	$(BIN)/python -m coverage run -m pytest tests/core tests/laws
	$(BIN)/python -m coverage report --fail-under=100
	$(BIN)/python -m pytest --ignore tests/core --ignore tests/laws

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

laws: .venv/test
	REALTIME_LAWS=deep $(BIN)/python -m pytest tests/laws --timeout 3600

mutants: .venv/test
	$(BIN)/python -m tests.mutants

bench: .venv/test models recordings
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv dist answer.wav
