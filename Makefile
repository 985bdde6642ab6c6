# What people and CI run: `make test`, then `make check`. `make help` lists the rest.

GO             ?= go
MILEPOST_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/milepost
export MILEPOST_CACHE

PACKAGES  ?= ./...
TESTFLAGS ?=
FUZZTIME  ?= 10s
BENCHTIME ?= 5s

# One DynamoDB endpoint for all test processes of the run.
SERVED := $(GO) run ./test/dynamotest/serve

# $(call install,PACKAGE@VERSION,COMMAND) builds a Go command into the cache, under the target's
# name.
install = mkdir -p $(MILEPOST_CACHE) && GOBIN=$@.$$$$ $(GO) install $1 && mv $@.$$$$/$2 $@ && rmdir $@.$$$$

LINT_VERSION := v2.15.0
LINT         := $(MILEPOST_CACHE)/golangci-lint-$(LINT_VERSION)

WORKFLOWS_VERSION := v1.7.12
WORKFLOWS         := $(MILEPOST_CACHE)/actionlint-$(WORKFLOWS_VERSION)

RELEASER_VERSION := v2.15.1
RELEASER         := $(MILEPOST_CACHE)/goreleaser-$(RELEASER_VERSION)

TESTSUM_VERSION := v1.13.0
TESTSUM         := $(MILEPOST_CACHE)/gotestsum-$(TESTSUM_VERSION)

.PHONY: help test check race quick python loaded lint cross fuzz check-go check-python campaign bench \
	build chromium screenshots releaser snapshot release test-dynamodb-local

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## the tests: Go under the race detector, Python without Spark, the status page in Chromium
	$(MAKE) chromium
	$(MAKE) --jobs=2 race python # both mostly wait

check: ## the rest of what CI runs: linters, platforms, fuzzing, the wheel and Spark, releases, terraform, mutants
	$(MAKE) --jobs=2 check-python lint cross fuzz PLATFORMS='darwin/arm64 windows/amd64' # Spark mostly waits
	$(MAKE) check-go

# Tests that prove a release, compile for minutes, or need more than Go, a C compiler, npm and
# Python.
CHECKED := ./test/broken ./test/release ./test/terraform/...

# The race detector, without its pointer check for SQLite, which is translated C and would slow down
# most by it. (SQLite's memory is still watched: it shares generic code of the standard library.)
# A process that ends has reported its races, and need not wait a second for more.
RACE := -race -gcflags=modernc.org/...=-d=checkptr=0

# $(call raced,PACKAGES) runs tests under the race detector, many at once, since most wait, and
# prints the ten slowest.
raced = mkdir -p bin && $(SERVED) env CGO_ENABLED=1 GORACE=atexit_sleep_ms=0 $(TESTSUM) --format standard-quiet \
	--jsonfile-timing-events bin/tests.json --post-run-command '$(TESTSUM) tool slowest --num 10 --jsonfile bin/tests.json' \
	-- $(RACE) -p 4 -parallel 16 -timeout 15m $(TESTFLAGS) $1

race: $(TESTSUM) ## the Go tests of PACKAGES under the race detector, without those of check-go
	@command -v $${CC:-cc} >/dev/null || { echo "the race detector needs a C compiler (Debian: apt-get install gcc libc6-dev)" >&2; exit 1; }
	$(GO) test -timeout 10m ./test/s3test # builds the S3 server before other tests wait for it
	$(call raced,$(filter-out $(shell $(GO) list $(CHECKED)),$(shell $(GO) list $(PACKAGES))))

check-go: $(TESTSUM) ## the Go tests that `make test` leaves out: releases, terraform, and mutants of the code
	$(call raced,$(CHECKED))
	$(GO) test -timeout 15m -run 1GiB $(TESTFLAGS) ./test/large # the race detector would multiply the memory that it measures
	MILEPOST_TRANSPORT_ALL=1 $(SERVED) $(GO) test -timeout 15m $(TESTFLAGS) ./test/transport # each request meets all faults

$(TESTSUM):
	$(call install,gotest.tools/gotestsum@$(TESTSUM_VERSION),gotestsum)

quick: ## every Go test of PACKAGES, without the race detector
	$(SERVED) $(GO) test -timeout 25m $(TESTFLAGS) $(PACKAGES)

python: ## the tests of the Python package, without Spark
	python/test.sh

check-python: ## the Python package's linters and types, its wheel, and Spark
	python/check.sh

loaded: ## on a busy machine: make test, then the tests that start processes or wait for leases, three times
	test/loaded

chromium: ## the browser for test/page; installs it if run as root with apt-get
	@for name in $$CHROMIUM chromium chromium-browser google-chrome; do command -v "$$name" >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
	else echo "the tests of the status page need Chromium (Debian: apt-get install chromium)" >&2; exit 1; fi

screenshots: chromium ## the pictures of the status page in docs/images
	$(GO) run ./test/page/screenshots docs/images

build: ## bin/milepost
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/milepost ./cmd/milepost

test-dynamodb-local: ## every test against DynamoDB Local: the jar in DYNAMODB_LOCAL_HOME, else its container
ifdef DYNAMODB_LOCAL_HOME
	MILEPOST_TEST_DYNAMODB= $(SERVED) $(GO) test -timeout 30m $(TESTFLAGS) $(PACKAGES)
else
	docker compose up --detach
	MILEPOST_TEST_DYNAMODB=http://127.0.0.1:8000 $(GO) test -timeout 30m $(TESTFLAGS) $(PACKAGES); \
		status=$$?; docker compose down; exit $$status
endif

lint: $(LINT) $(WORKFLOWS) ## formatting, vet, the linters of .golangci.yml, and the workflows
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt -w these: $$unformatted" >&2; exit 1; }
	$(GO) vet $(PACKAGES)
	$(LINT) run --allow-parallel-runners $(PACKAGES)
	$(WORKFLOWS) .github/workflows/*.yml

$(LINT):
	$(call install,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION),golangci-lint)

$(WORKFLOWS):
	$(call install,github.com/rhysd/actionlint/cmd/actionlint@$(WORKFLOWS_VERSION),actionlint)

fuzz: ## each fuzz target for FUZZTIME, with little minimizing, which would use all of the time
	@for package in $$($(GO) list -f '{{.Dir}}' $(PACKAGES)); do \
		for target in $$(grep -hos '^func Fuzz[A-Za-z]*' $$package/*_test.go | cut -d ' ' -f 2); do \
			echo "$$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package || exit 1; \
		done; \
	done

campaign: ## hours: 10,000 kills and 1,000 races on each engine, 1,000 kills of large saves, 200 batches of Spark, 100 runs of the transport's faults, the whole models
	MILEPOST_MODEL_ALL=1 $(GO) test -timeout 2h -v ./test/model/save ./test/model/retention
	MILEPOST_KILL_JOBS=500 MILEPOST_KILL_ROUNDS=1000 $(SERVED) $(GO) test -timeout 12h -v ./test/kill
	MILEPOST_ARCHIVE_KILLS=1000 $(SERVED) $(GO) test -timeout 12h -v -run Killed ./test/archive
	MILEPOST_TRANSPORT_ALL=1 $(SERVED) $(GO) test -timeout 12h -count 100 ./test/transport
	MILEPOST_MODEL_SESSIONS=3 $(GO) test -timeout 12h -v ./test/model/archive
	MILEPOST_SPARK_BATCHES=200 python/check.sh

bench: ## every benchmark; writes docs/benchmarks.md from their output
	$(SERVED) $(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) -timeout 60m $(TESTFLAGS) $(PACKAGES) | \
		$(GO) run ./test/bench/report docs/benchmarks.md $(if $(NOTE),"$(NOTE)")

PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

cross: ## vet and compile for each platform of a release, with the flags of a release to share its cache
	@for platform in $(PLATFORMS); do \
		echo "$$platform"; \
		export GOOS=$${platform%/*} GOARCH=$${platform#*/} CGO_ENABLED=0; \
		$(GO) vet -trimpath $(PACKAGES) && $(GO) build -trimpath -o /dev/null ./cmd/milepost || exit 1; \
	done

releaser: $(RELEASER) ## goreleaser, for the tests of releases
	@echo $(RELEASER)

$(RELEASER):
	$(call install,github.com/goreleaser/goreleaser/v2@$(RELEASER_VERSION),goreleaser)

snapshot: $(RELEASER) ## bin/dist: a release's files, not published
	GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=remote.origin.url GIT_CONFIG_VALUE_0=https://github.com/milepost-dev/milepost \
		$(RELEASER) release --snapshot --clean

release: $(RELEASER) ## a draft release of the checked-out tag; .github/workflows/release.yml runs it
	$(RELEASER) release --clean
