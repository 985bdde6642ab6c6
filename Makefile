# What people and CI run. Needs Go, and npm for a DynamoDB endpoint to test
# against (test/dynamotest says what else will do); the rest is brought into a
# cache of the project's by the registries' own clients.

GO             ?= go
MILEPOST_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/milepost
export MILEPOST_CACHE

PACKAGES  ?= ./...
TESTFLAGS ?=
FUZZTIME  ?= 10s

# One DynamoDB endpoint for all test processes of the run.
SERVED := $(GO) run ./test/dynamotest/serve

LINT_VERSION := v2.15.0
LINT         := $(MILEPOST_CACHE)/golangci-lint-$(LINT_VERSION)

.PHONY: build test race test-dynamodb-local lint fuzz bench examples

build: ## bin/milepost
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/milepost ./cmd/milepost

test: ## every test
	$(SERVED) $(GO) test -timeout 15m $(TESTFLAGS) $(PACKAGES)

race: ## every test under the race detector, which needs a C compiler
	@command -v $${CC:-cc} >/dev/null || { echo "the race detector needs a C compiler (Debian: apt-get install gcc libc6-dev)" >&2; exit 1; }
	CGO_ENABLED=1 $(SERVED) $(GO) test -race -timeout 30m $(TESTFLAGS) $(PACKAGES)

test-dynamodb-local: ## every test against DynamoDB Local: the jar in DYNAMODB_LOCAL_HOME, else its container
ifdef DYNAMODB_LOCAL_HOME
	MILEPOST_TEST_DYNAMODB= $(SERVED) $(GO) test -timeout 30m $(TESTFLAGS) $(PACKAGES)
else
	docker compose up --detach
	MILEPOST_TEST_DYNAMODB=http://127.0.0.1:8000 $(GO) test -timeout 30m $(TESTFLAGS) $(PACKAGES); \
		status=$$?; docker compose down; exit $$status
endif

lint: $(LINT) ## formatting, vet, and the linters of .golangci.yml
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt -w these: $$unformatted" >&2; exit 1; }
	$(GO) vet $(PACKAGES)
	$(LINT) run $(PACKAGES)

$(LINT):
	mkdir -p $(MILEPOST_CACHE)
	GOBIN=$(MILEPOST_CACHE)/lint.$$$$ $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION) \
		&& mv $(MILEPOST_CACHE)/lint.$$$$/golangci-lint $@ && rmdir $(MILEPOST_CACHE)/lint.$$$$

fuzz: ## each fuzz target for FUZZTIME
	@for package in $$($(GO) list $(PACKAGES)); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

bench: ## every benchmark, as docs/benchmarks.md reports them
	$(SERVED) $(GO) test -run '^$$' -bench . -benchmem -timeout 60m $(TESTFLAGS) $(PACKAGES)

examples: ## build and test the examples
	$(SERVED) $(GO) test $(TESTFLAGS) ./examples/...
