# One command for each habit; `make` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c

# Nothing that builds or checks has a list of modules but go.work.
MODULES  := $(shell go work edit -json | sed -n 's/.*"DiskPath": "\(.*\)".*/\1/p')
PACKAGES := $(addsuffix /...,$(MODULES))

# Every program under examples/ ends by itself when it is started with -demo.
EXAMPLES := $(patsubst %/main.go,./%,$(wildcard examples/*/main.go))

# How long `make fuzz` spends on each target, and `make bench` on each benchmark.
FUZZTIME  ?= 10s
BENCHTIME ?= 1x

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: test
test: setup tidy lint race plain examples bench ## everything that must pass; installs what it needs

.PHONY: setup
setup: ## install the servers and tools that tests start (apt, as root)
	scripts/setup

.PHONY: check
check: lint plain ## the quick part of test, for before a commit

# Without the workspace, so that each module is checked with the versions that
# its own go.mod names, as a consumer gets them.
.PHONY: tidy
tidy: ## check that each module is tidy and builds alone
	for m in $(MODULES); do \
	  (cd $$m && export GOWORK=off && go mod tidy -diff && go vet ./...); \
	done

.PHONY: lint
lint: bin/golangci-lint ## lint every module
	bin/golangci-lint run $(PACKAGES)

.PHONY: fmt
fmt: bin/golangci-lint ## format every module
	bin/golangci-lint fmt $(MODULES)

# Shuffling also keeps results from being cached, which the tests that read the
# whole repository need.
.PHONY: race
race: ## run all tests under the race detector
	go test -race -shuffle=on -timeout 30m $(PACKAGES)

# The race detector changes what allocates, so the tests that count allocations
# prove nothing under it.
.PHONY: plain
plain: ## run the library's tests without the race detector
	go test ./...

.PHONY: examples
examples: ## run every example program
	for e in $(EXAMPLES); do echo "go run $$e -demo"; go run $$e -demo; done

.PHONY: bench
bench: ## run every benchmark once; BENCHTIME=1s measures
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $(PACKAGES)

.PHONY: prove-stores
prove-stores: export OTP_PROVE = long
prove-stores: ## 200 histories of many processes on each server, killed and cut off, checked for linearizability
	go test -race -v -count=1 -timeout 4h -run '^Test(Postgres|MariaDB|SQLite)$$' ./internal/proof/linear
	go test -race -v -count=1 -timeout 4h -run Linear ./internal/proof/redisstore

.PHONY: bench-stores
bench-stores: ## compare the stores with plain statements and scripts
	go test -run '^$$' -bench 'Stores|HotSubject|Authenticator' -benchtime 20x -timeout 1h ./internal/proof/sqlstore
	go test -run '^$$' -bench 'Operations|Store' -benchtime 60x -timeout 1h ./internal/proof/redisstore

.PHONY: bench-millions
bench-millions: export OTP_PROVE = long
bench-millions: ## what ten million challenges cost (13 GB of memory, 20 GB of disk, half an hour)
	go test -run '^$$' -bench Millions -benchtime 1x -timeout 1h ./internal/proof/sqlstore
	go test -run '^$$' -bench Millions -benchtime 1x -timeout 2h ./internal/proof/redisstore

.PHONY: fuzz
fuzz: ## fuzz every target for FUZZTIME (10s)
	packages=$$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' $(PACKAGES)); \
	for p in $$packages; do \
	  targets=$$(go test -list '^Fuzz' $$p | sed -n '/^Fuzz/p'); \
	  for t in $$targets; do \
	    echo "fuzz $$p $$t"; \
	    go test -run '^$$' -fuzz "^$$t$$" -fuzztime $(FUZZTIME) $$p; \
	  done; \
	done

.PHONY: prove
prove: export OTP_PROVE = long
prove: ## the same proofs with more histories, steps and time, and a table of them
	go test -race -shuffle=on -timeout 4h $(PACKAGES)
	go test -v -count=1 -run TestEveryRequirementIsProved ./internal/proof/arch
	$(MAKE) fuzz FUZZTIME=1m

.PHONY: cover
cover: ## show how much of the library its tests reach
	mkdir -p bin
	go test -coverpkg ./... -coverprofile bin/cover.out ./...
	go tool cover -func bin/cover.out | tail -n 1

.PHONY: clean
clean: ## remove what the commands above made
	rm -rf bin

# The linter has a go.mod of its own: the versions that it needs are nobody
# else's concern.
bin/golangci-lint: tools/go.mod tools/go.sum
	GOWORK=off go build -C tools -o ../bin/ tool
	touch $@
