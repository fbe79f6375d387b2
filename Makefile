# make help lists the targets. Two of them set a fresh machine up: make demo and make test.

GO         ?= go
# What takes longest comes first.
MODULES    := e2e . cmd/divisi lab servlet ssh store oci opentelemetry resolver conformance bench
PACKAGES   := $(MODULES:%=./%/...)
# Examples with libraries of their own, which would take minutes to compile for the race detector.
EXAMPLES   := examples/embedded examples/orderd examples/postgres
BUILD      := build
FUZZTIME   ?= 1m
STATICCHECK := $(BUILD)/staticcheck
DEADCODE   := $(BUILD)/deadcode
DIVISI     := $(BUILD)/divisi
export CGO_ENABLED ?= 0

# The go command asks git for a version, and fails where git does not answer, as in the clone of
# another user.
ifneq ($(shell git rev-parse --git-dir >/dev/null 2>&1 && echo trusted),trusted)
export GOFLAGS := $(GOFLAGS) -buildvcs=false
endif

.DEFAULT_GOAL := help
.PHONY: help demo demo-check test check lint generate unit unit-race unit-plain cross fuzz accept-faults soak accept-etcd bench bench-quick build store install clean tidy tools test-tools

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: tools ## start the example store as twelve processes, and stay
	@GO="$(GO)" ./scripts/demo.sh

demo-check: tools ## the same, without staying: what CI runs
	@GO="$(GO)" ./scripts/demo.sh --check

test: test-tools ## everything that decides whether a change is good
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory --jobs 2 unit-plain unit-race
	@$(MAKE) --no-print-directory demo-check

check: lint cross ## format, vet, static analysis, fresh generated code, other systems

# What only types, the go command or generated code of others refer to: methods that mark types,
# examples, and names of the language for packages that shadow them.
MARKERS := func: ([A-Za-z]+\.(implements|isRef|setRef|routedBy|is)|Direct\.Get|Example.*)$$|^codegen/predeclared/

lint: test-tools $(STATICCHECK) $(DEADCODE)
	@files=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
	  test -z "$$files" || { echo "gofmt would change: $$files"; exit 1; }
	@echo "vet" && $(GO) vet $(PACKAGES) $(EXAMPLES:%=./%/...)
	@git diff --quiet -- go.work.sum; test $$? != 1 || { echo "go.work.sum has new lines: git add go.work.sum"; exit 1; }
	@echo "staticcheck" && "./$(STATICCHECK)" $(PACKAGES)
	@echo "dead code" && found=$$("./$(DEADCODE)" -test $(PACKAGES)) && \
	  found=$$(echo "$$found" | grep -vE '$(MARKERS)'); test -z "$$found" || { echo "$$found"; exit 1; }
	@echo "generated code" && $(GO) run ./cmd/divisigen --check $(PACKAGES)

unit: test-tools ## the tests of all modules, with the race detector
	@$(MAKE) --no-print-directory --jobs 2 unit-plain unit-race

# What waits for processes for the most part. Vet has run in lint.
unit-plain: test-tools
	@echo "test, with what takes minutes first"
	@$(GO) test -vet=off -timeout 25m $$(GO="$(GO)" ./scripts/watched.sh --not $(PACKAGES)) $(EXAMPLES:%=./%/...)

# The race detector needs cgo; what the tests build themselves does not, and no debugger looks at it. A
# program that the detector watches sleeps for a second before it ends, unless told.
unit-race: test-tools
	@GORACE=atexit_sleep_ms=10 CGO_ENABLED=1 $(GO) test -race -vet=off -ldflags=-w -timeout 25m -exec "env CGO_ENABLED=0 'GOFLAGS=$$GOFLAGS -ldflags=-w'" \
	  $$(GO="$(GO)" ./scripts/watched.sh $(PACKAGES))

# What applications import is for all systems; the rest needs Linux, and says so on others. An int of
# 386 holds less than many a constant.
APPLICATIONS := . ./serve ./httpd ./discover/... ./codegen ./metrics ./metadata ./divisitest ./opentelemetry ./resolver ./servlet ./ssh ./examples/...
COMMAND      := ./... ./cmd/divisi/... ./lab/... ./servlet/... ./ssh/... ./oci/... ./opentelemetry/... ./resolver/...

cross: tools ## check the types for the other systems, and for machines with 32 bits
	@mkdir -p $(BUILD) && $(GO) build -o $(BUILD)/elsewhere ./internal/arch/elsewhere
	@echo "types for darwin" && $(BUILD)/elsewhere darwin/arm64 $(COMMAND)
	@echo "types for windows" && $(BUILD)/elsewhere windows/amd64 $(APPLICATIONS)
	@echo "types for 32 bits" && $(BUILD)/elsewhere linux/386 $(COMMAND)

SOAK ?= 10m

accept-faults: tools ## kill, freeze, pause and upgrade the store under load, kill its keeper, and count failed requests (15 minutes)
	@GO="$(GO)" ./scripts/accept.sh

accept-etcd: test-tools ## have etcd's own tests start the store in the place of etcd (15 minutes)
	@GO="$(GO)" ./scripts/accept-etcd.sh

soak: test-tools ## the long forms of tests, or the PARTS of them; those that might go on for ever take SOAK each (default 10m)
	@GO="$(GO)" SOAK="$(SOAK)" ./scripts/soak.sh $(PARTS)

bench: test-tools ## compare with what one would use instead, in 20 minutes; the tables are in bench/README.md
	@cd bench && $(GO) run .

bench-quick: ## compare a few calls with what one would use instead, in less than two minutes
	@cd bench && $(GO) run ./compare -quick -rounds 3 -time 150ms

fuzz: test-tools ## fuzz every decoder, each for FUZZTIME (default 1m)
	@GO="$(GO)" FUZZTIME=$(FUZZTIME) ./scripts/fuzz.sh

generate: tools ## write the generated code
	@$(GO) run ./cmd/divisigen $(PACKAGES)

build: tools ## build the command divisi into ./build
	@mkdir -p $(BUILD) && cd cmd/divisi && $(GO) build $(VERBOSE) -o ../../$(DIVISI) .

store: tools ## build the store of keys into ./build, beside the command divisi
	@mkdir -p $(BUILD) && cd store && $(GO) build $(VERBOSE) -o ../$(BUILD)/divisi-store ./cmd/divisi-store

install: tools ## install the command divisi, with what build has compiled
	@cd cmd/divisi && $(GO) install .
	@dir=$$($(GO) list -f '{{.Target}}' ./cmd/divisi | xargs dirname); case ":$$PATH:" in *":$$dir:"*) ;; *) \
	  echo "divisi is in $$dir, where your shell does not look: export PATH=\$$PATH:$$dir" ;; esac

$(STATICCHECK): tools/go.mod
	@mkdir -p $(BUILD) && echo "build staticcheck" && cd tools && \
	  GOWORK=off $(GO) build -o "$(CURDIR)/$(STATICCHECK)" honnef.co/go/tools/cmd/staticcheck

$(DEADCODE): tools/go.mod
	@mkdir -p $(BUILD) && echo "build deadcode" && cd tools && \
	  GOWORK=off $(GO) build -o "$(CURDIR)/$(DEADCODE)" golang.org/x/tools/cmd/deadcode

tidy: ## tidy the go.mod files; the modules refer to each other by the work space only
	@for m in $(MODULES) $(EXAMPLES); do echo "tidy $$m"; (cd $$m && \
	  $(GO) mod edit -replace "github.com/divisi-go/divisi=$(CURDIR)" \
	    -replace "github.com/divisi-go/divisi/cmd/divisi=$(CURDIR)/cmd/divisi" \
	    -replace "github.com/divisi-go/divisi/lab=$(CURDIR)/lab" \
	    -replace "github.com/divisi-go/divisi/opentelemetry=$(CURDIR)/opentelemetry" \
	    -replace "github.com/divisi-go/divisi/oci=$(CURDIR)/oci" \
	    -replace "github.com/divisi-go/divisi/resolver=$(CURDIR)/resolver" \
	    -replace "github.com/divisi-go/divisi/servlet=$(CURDIR)/servlet" \
	    -replace "github.com/divisi-go/divisi/ssh=$(CURDIR)/ssh" \
	    -replace "github.com/divisi-go/divisi/store=$(CURDIR)/store" && \
	  GOWORK=off $(GO) mod tidy; status=$$?; \
	  $(GO) mod edit -dropreplace github.com/divisi-go/divisi \
	    -dropreplace github.com/divisi-go/divisi/cmd/divisi \
	    -dropreplace github.com/divisi-go/divisi/lab \
	    -dropreplace github.com/divisi-go/divisi/opentelemetry \
	    -dropreplace github.com/divisi-go/divisi/oci \
	    -dropreplace github.com/divisi-go/divisi/resolver \
	    -dropreplace github.com/divisi-go/divisi/servlet \
	    -dropreplace github.com/divisi-go/divisi/ssh \
	    -dropreplace github.com/divisi-go/divisi/store; exit $$status) || exit 1; done

tools:
	@GO="$(GO)" ./scripts/tools.sh

test-tools:
	@GO="$(GO)" ./scripts/tools.sh test

clean: ## remove what was built
	@rm -rf $(BUILD)
