# make setup   .venv with the locked dependencies (nothing to do when it is current)
# make run     the demo: feed, service, signals, trainer, hot swap, on free ports of its own
# make test    lint, types, import contracts, tests
# make test-alerts   the alert rules and their tests, by promtool
# make test-watch   each alert made to fire by a real fault, before a real Prometheus
# make test-deploy   install, supervise, upgrade, restore and remove on a booted Debian; the image (root)
#                    SUITE=trixie boots another release than the one it runs on
# make evidence-edge, -null, -results, -small, -scale   what docs/evidence.md claims of the trainer, measured
# make evidence-moving   whether a share of wins that moves passes for an edge
# make evidence-calibration   where isotonic calibration helps and where it harms
# make evidence-monitor   false alarms of the monitor, and how soon it notices a lost edge
# make evidence-drift   how often drift is called where nothing has changed, and where something has
# make evidence-truth   how fast, and in how much memory, a million-line truth log is read
# make evidence-leaves  what the limit of leaves of a tree costs or gives
# make evidence-memory  what trainer and monitor need in memory, by the age of journal and model
# make evidence-paper   paper outcomes on recorded markets against a brute-force oracle
# make oracle             every recorded market through the intake, compared with the batch oracle
# make account            what became of every row of every recorded file
# make bench-features     rate of taking in ticks, cost of a vector, memory, a minute's end, growth
# make bench-backfill     a backfill and a walk-forward here, in processes and on a Dask cluster
# make bench-serve        latency and throughput of scoring against a bare echo, and the steps of a score
# make bench-busy         scoring beside programs that take every processor, by the weight of its unit (root)
# make bench-scale        replicas behind a proxy, a client on another host, symbols and ticks
# make bench-swap         models swapped under load: latency, memory, and whether any answer is mixed
# make evidence-features  the pictures of docs/features.md
# make docs-trader        the pictures of docs/trader.md (wants chromium and tmux)
# make fuzz    a million hostile frames, feed messages, the same on sockets, damaged journals
# make corrupt damaged models before the watch and the process
# make kill9   kill -9 under load, a hundred times
# make check-client  the client installed as the documents say, and what comes with it (needs network)
# make soak    half an hour of everything at once; draws docs/images/soak.png
# make lock    resolve the lock files anew (needs network; uv is installed into .venv)
# The distribution's first: what deploy/install.sh takes on a server, and built with profile-guided
# optimization, which a self-built one often lacks.
PYTHON ?= $(shell for p in /usr/bin/python3 python3.11 python3.12 python3.13 python3.14 python3; do $$p -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# The tests start hundreds of processes: what one has compiled is there for the next.
unexport PYTHONDONTWRITEBYTECODE
STAMP := .venv/.current

.PHONY: setup run test test-alerts test-watch test-deploy lint lock clean evidence-edge evidence-null evidence-results evidence-small evidence-scale evidence-leaves evidence-memory evidence-monitor evidence-drift evidence-truth evidence-paper oracle account bench-features bench-serve bench-scale bench-swap bench-backfill evidence-features fuzz corrupt kill9 soak check-client evidence-calibration evidence-moving bench-busy docs-trader

setup: $(STAMP)

# Nothing is compiled here: Python compiles what is imported, and most of it never is.
$(STAMP): pyproject.toml requirements/dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed: apt-get install python3-venv, or name one with make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

run: setup
	$(BIN)/signal-scorer demo

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A file's tests stay together, in one of two processes more than there are cores: many of them wait.
# Each process reads all test modules, which are compiled once, with all that they import, beside the
# checks, and not in each.
test: setup
	@$(BIN)/pytest --collect-only >/dev/null 2>&1 & $(MAKE) --no-print-directory lint && wait
	$(BIN)/pytest --numprocesses=$$(($$(getconf _NPROCESSORS_ONLN) + 2)) --dist=loadscope --no-loadscope-reorder

test-alerts:
	cd deploy/prometheus && promtool check config prometheus.yml && promtool test rules *_test.yml

test-watch: setup
	$(BIN)/python scripts/watch.py

test-deploy:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed"; exit 1; }
	$(PYTHON) tests/deploy $(if $(SUITE),--suite $(SUITE))

# One program each, of the target's name.
bench-busy bench-scale bench-swap check-client evidence-calibration evidence-leaves evidence-memory evidence-monitor evidence-moving evidence-truth kill9 soak: setup
	$(BIN)/python scripts/$(subst -,_,$@).py

evidence-edge: setup
	$(BIN)/python scripts/evidence.py edge
	$(BIN)/python scripts/evidence.py edge --heavier-base-score

evidence-null evidence-results evidence-small evidence-scale: setup
	$(BIN)/python scripts/evidence.py $(@:evidence-%=%)

evidence-drift: setup
	$(BIN)/python scripts/drift_rates.py

evidence-features: setup
	$(BIN)/python scripts/plot_features.py

evidence-paper: setup
	$(BIN)/python scripts/oracle_paper.py

oracle: setup
	$(BIN)/python scripts/oracle_features.py

account: setup
	$(BIN)/python scripts/account_market.py

bench-backfill: setup
	$(BIN)/python scripts/bench_backfill.py $(wildcard ../shared/data/market/lean_fx_tick_EURUSD.oanda_*.csv.gz ../shared/data/market/lean_fx_tick_NZDUSD.oanda_*.csv.gz)

bench-features: setup
	$(BIN)/python scripts/bench_takein.py
	$(BIN)/python scripts/bench_takein_process.py
	$(BIN)/python scripts/bench_features.py

bench-serve: setup
	$(BIN)/python scripts/bench_serve.py
	$(BIN)/python scripts/bench_steps.py

docs-trader: setup
	$(BIN)/python scripts/trader_pictures.py

fuzz: setup
	$(BIN)/python -W error scripts/fuzz_inside.py
	$(BIN)/python scripts/fuzz_wire.py
	$(BIN)/python -W error scripts/fuzz_journal.py

corrupt: setup
	$(BIN)/python scripts/corrupt_bundles.py

COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
RESOLVE := cd requirements && ../$(BIN)/$(COMPILE) --no-emit-package signal-scorer ../pyproject.toml

lock: setup
	$(BIN)/python -m pip install --quiet uv
	$(RESOLVE) --extra dev -o dev.txt
	$(RESOLVE) --extra training -c dev.txt -o training.txt
	$(RESOLVE) --extra dask -c dev.txt -o dask.txt
	$(RESOLVE) --extra service -c dev.txt -o service.txt
	cd requirements && grep -o 'hatchling[^"]*' ../pyproject.toml | head -1 | ../$(BIN)/$(COMPILE) -c dev.txt - -o build.txt

clean:
	rm -rf .venv dist
