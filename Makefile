# What people and CI run. Every target works in a fresh clone with Go, make and
# apt; `test` and `acceptance` install the packages they need, as root.

# sudo's PATH often lacks Go.
GO := $(or $(shell command -v go),$(wildcard /usr/local/go/bin/go),go)
export PATH := $(patsubst %/,%,$(dir $(GO))):$(PATH)

FUZZTIME ?= 2s

.PHONY: check build test lint fuzz bench acceptance proof prove generate install

## check: build hostguard and audit this host; fails unless it is READY
check: build
	./bin/hostguard check

## build: a static binary in ./bin
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/hostguard ./cmd/hostguard

## test: everything but virtual machines; HOSTGUARD_REQUIRE=real fails what cannot run here
test: install lint
	$(GO) test -timeout 15m ./...
	$(MAKE) fuzz

## lint: formatting, vet, staticcheck
lint:
	@unformatted=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) && if [ -n "$$unformatted" ]; then echo "not formatted: $$unformatted" >&2; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

## fuzz: every fuzz target for FUZZTIME, one after the other; again where Go itself fails a
## target because its time is over ("context deadline exceeded", golang.org/issue/75804)
fuzz:
	@grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's,/[^/]*:[0-9]+:func , ,' | sort -u | while read -r package target; do \
		for try in 1 2 3; do \
			log=$$($(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null 2>&1) && break; \
			case $$try$$log in [12]*"context deadline exceeded"*) ;; *) echo "$$log" >&2; exit 1 ;; esac; \
		done; \
		echo "$$target $$(echo "$$log" | tail -1)"; \
	done

## bench: figures of whole runs on a booted host, beside sshd's and auditctl's;
## before other programs, and so are the host's daemons, which a check waits for
bench: install
	HOSTGUARD_BENCH=1 nice -n -19 $(GO) test -count 1 -timeout 20m -v -run '^TestFigures$$' ./internal/bench
	$(GO) test -run '^$$' -bench '^BenchmarkCover$$' ./internal/auditrule
	$(GO) test -run '^$$' -bench '^BenchmarkMatrix$$' ./internal/loginmatrix
	$(GO) test -run '^$$' -bench '^BenchmarkExposure$$' ./internal/host
	$(GO) test -run '^$$' -bench '^BenchmarkUsers$$' ./checks/connector

## proof: audit rules compared with the kernel, auditctl and augenrules, by CASES generated ones for each comparison;
## sshd's configurations with sshd, by SSHD_CASES, in the trees of other releases, too, that SSHD_ROOTS names;
## the login matrix with real logins, of each account by all it has from everywhere
CASES ?= 1000
SSHD_CASES ?= 50000
SSHD_ROOTS ?=
proof: install
	HOSTGUARD_REQUIRE=real HOSTGUARD_AUDIT_CASES=$(CASES) $(GO) test -count 1 -timeout 60m -v -run 'KernelRoundTrip|AuditctlAgrees|MergeEqualsAugenrules|Reality' ./internal/auditrule
	HOSTGUARD_REQUIRE=real HOSTGUARD_AUDIT_CASES=$(CASES) $(GO) test -count 1 -timeout 20m -v -run 'LoadedIsAuditctls|MissingRules|MissingWatch|EachDeletedRule|PictureOfTheKernel|TestCanary' ./cmd/hostguard
	HOSTGUARD_REQUIRE=real HOSTGUARD_ALL_LOGINS=1 $(GO) test -count 1 -timeout 30m -v -run 'RealLogins' ./cmd/hostguard
	HOSTGUARD_REQUIRE=real HOSTGUARD_CASES=$(CASES) $(GO) test -count 1 -timeout 20m -v -run 'Libpam' ./internal/pamconf
	HOSTGUARD_REQUIRE=real HOSTGUARD_LEDGER_FLIPS=1 $(GO) test -count 1 -timeout 60m -v -run 'BitFlip|Truncat|Reordered|DocumentedShell|Torn' ./internal/keyledger ./remediate/ledgerfile
	for root in "" $(SSHD_ROOTS); do \
		HOSTGUARD_REQUIRE=real HOSTGUARD_SSHD_ROOT=$$root HOSTGUARD_SSHD_CASES=$(SSHD_CASES) $(GO) test -count 1 -timeout 3h -v -run 'AgreesWithSSHD' ./internal/sshdconf || exit 1; \
		HOSTGUARD_REQUIRE=real HOSTGUARD_SSHD_ROOT=$$root HOSTGUARD_SSHD_CASES=$$(($(SSHD_CASES) / 10)) $(GO) test -count 1 -timeout 3h -v -run 'ShowSSHDAgreesWithSSHD' ./cmd/hostguard || exit 1; \
	done

## prove: what fix stands on: KILLS runs of fix, undo and recover killed at calls that change something, all kinds of
## failures at all of them, RACES rounds against an editor that saves the same file, the suite itself,
## with one thing after another taken out of the program, and fix and undo of everything that breakages break
KILLS ?= 2000
RACES ?= 20000
prove: install
	HOSTGUARD_REQUIRE=real HOSTGUARD_RACES=$(RACES) $(GO) test -count 1 -timeout 60m -v -run 'NoEditIsLost|AtEveryCall|DurableWhen' ./remediate/filestate
	HOSTGUARD_REQUIRE=real HOSTGUARD_CRASHES=$(KILLS) $(GO) test -count 1 -timeout 3h -v -run 'FixKilledAtEveryCall|FixFailedAtEveryCall|TwoFixesAtOnce|TheJournalIsAhead' ./cmd/hostguard
	HOSTGUARD_REQUIRE=real HOSTGUARD_SUITE=1 $(GO) test -count 1 -timeout 60m -v -run 'TheSuiteSeesWhatIsMissing' ./remediate/transaction
	HOSTGUARD_REQUIRE=real HOSTGUARD_ALL_FIXES=1 $(GO) test -count 1 -timeout 3h -v -run 'FixMends' ./cmd/hostguard

## acceptance: the whole story in a virtual machine; slow
acceptance: install
	HOSTGUARD_REQUIRE=vm $(GO) test -count 1 -timeout 3h -p 1 -v -run Acceptance ./internal/lab ./cmd/hostguard

## generate: schemas, tables and pages that are made from the rules
generate:
	$(GO) test -count 1 -run Generated ./rules -update
	$(GO) test -count 1 -run Generated ./cmd/hostguard -update

install:
	@./internal/lab/install.sh
