# Everything goes through here; `make help` lists it. Output goes to $(BUILD) and nowhere else.
BUILD   ?= build
CC      ?= cc
# For the sanitizers and the fuzz targets, and for another compiler's warnings.
CLANG   ?= clang-14
# Heavy parts (a pinned librdkafka, the test bed) are built once and kept here, keyed by version.
CACHE   ?= $(or $(SURGETANK_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/surgetank)
export SURGETANK_CACHE := $(CACHE)

RDKAFKA_VERSION := 2.15.1
RDKAFKA := $(CACHE)/librdkafka-$(RDKAFKA_VERSION)-4# the number of hack/deps/librdkafka-VERSION.patch

WERROR  ?=# CI sets -Werror
WARN    := $(WERROR) -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wcast-qual -Wformat=2 \
           -Wmissing-prototypes -Wstrict-prototypes -Wswitch-enum -Wundef -Wvla -Wwrite-strings \
           -Wpointer-arith -Wdouble-promotion -Wimplicit-fallthrough
CFLAGS  ?= -O2 -g
# What every build carries; sanitizer builds leave FORTIFY out, which they do not understand.
HARDEN  ?= -D_FORTIFY_SOURCE=2 -fstack-protector-strong
CPPFLAGS += -I. -D_GNU_SOURCE -isystem $(RDKAFKA)/include
FLAGS    = -std=c17 -pthread -fPIE $(CPPFLAGS) $(WARN) -MMD -MP $(CFLAGS) $(HARDEN) $(EXTRA)
LINK     = $(CC) -pthread -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed $(CFLAGS) $(EXTRA)
LIBS     = $(RDKAFKA)/lib/librdkafka.a -lwebsockets -lnghttp2 -lhttp_parser -lcurl -lcjson -lyaml \
           -lpcre2-8 -lssl -lcrypto -lzstd -lz -lm -ldl -lrt

ALL_SRC        := $(shell find common controller sidecar -name '*.c' 2>/dev/null)
MAINS          := sidecar/main.c controller/main.c controller/plugin/main.c
COMMON_SRC     := $(filter-out common/version.c,$(filter common/%,$(ALL_SRC)))
SIDECAR_SRC    := $(filter-out $(MAINS),$(filter sidecar/%,$(ALL_SRC)))
CONTROLLER_SRC := $(filter-out $(MAINS),$(filter controller/%,$(ALL_SRC)))
HEADERS        := $(shell find common controller sidecar tests/support -name '*.h' 2>/dev/null)

# What --version says. A tarball has no commit to name.
VERSION  := $(shell sed -n 's/^version: *//p' charts/surgetank/Chart.yaml)
REVISION ?= $(or $(if $(wildcard .git),$(shell git describe --always --dirty --abbrev=12 2>/dev/null)),unknown)

# A test says on a line of its own, `// link: a.c b.c`, which doubles stand in for production files;
# what it links that way wins over the archives.
TEST_SRC  := $(sort $(shell find tests/unit -name 'test_*.c' 2>/dev/null))
TEST_BINS := $(TEST_SRC:%.c=$(BUILD)/%)
COMPONENT_SRC  := $(sort $(shell find tests/integration -name 'test_*.c' 2>/dev/null))
COMPONENT_BINS := $(COMPONENT_SRC:%.c=$(BUILD)/%)

objects  = $(patsubst %.c,$(BUILD)/%.o,$(1))
ARCHIVES := $(BUILD)/libsidecar.a $(BUILD)/libcontroller.a $(BUILD)/libcommon.a

PROGRAMS := $(if $(wildcard sidecar/main.c),$(BUILD)/surgetank-sidecar) \
            $(if $(wildcard controller/main.c),$(BUILD)/surgetank-controller) \
            $(if $(wildcard controller/plugin/main.c),$(BUILD)/kubectl-surgetank)

BANNED  := strcpy|stpcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|gets|signal|setjmp|_setjmp

.DEFAULT_GOAL := build
build: $(PROGRAMS) ## the programs, under build/
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 14

# ---- compiling
$(BUILD)/%.o: %.c | $(RDKAFKA)/lib/librdkafka.a
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -c $< -o $@
$(BUILD)/libcommon.a: $(call objects,$(COMMON_SRC))
$(BUILD)/libsidecar.a: $(call objects,$(SIDECAR_SRC))
$(BUILD)/libcontroller.a: $(call objects,$(CONTROLLER_SRC))
$(ARCHIVES):
	@mkdir -p $(@D); rm -f $@
	ar rcsD $@ $(filter %.o,$^)
$(PROGRAMS): $(BUILD)/common/version.o
$(BUILD)/common/version.o: $(BUILD)/version
$(addprefix $(BUILD)/common/version.,o analyzed tidied): \
  CPPFLAGS += -DSURGETANK_VERSION='"$(VERSION)"' -DSURGETANK_REVISION='"$(REVISION)"'
$(BUILD)/version: always
	@mkdir -p $(@D); echo '$(VERSION) $(REVISION)' | cmp -s - $@ || echo '$(VERSION) $(REVISION)' >$@
$(BUILD)/surgetank-sidecar: $(BUILD)/sidecar/main.o $(BUILD)/libsidecar.a $(BUILD)/libcommon.a
	$(LINK) $^ $(LIBS) -o $@
$(BUILD)/surgetank-controller: $(BUILD)/controller/main.o $(BUILD)/libcontroller.a $(BUILD)/libcommon.a
	$(LINK) $^ $(LIBS) -o $@
$(BUILD)/kubectl-surgetank: $(BUILD)/controller/plugin/main.o $(BUILD)/libcontroller.a $(BUILD)/libcommon.a
	$(LINK) $^ $(LIBS) -o $@

$(RDKAFKA)/lib/librdkafka.a:
	hack/deps/librdkafka.sh $(RDKAFKA_VERSION) $(RDKAFKA)

# ---- tests
doubles = $(call objects,$(shell sed -n 's,^// link: ,,p' $(1)))
# `// wrap: f g` sends all calls of f() to __wrap_f(), of a double (tests/support/fault_alloc.h).
wraps   = $(patsubst %,-Wl$(comma)--wrap=%,$(shell sed -n 's,^// wrap: ,,p' $(1)))
comma   := ,
define test_rule
$(BUILD)/$(1:.c=): $(BUILD)/$(1:.c=.o) $(call doubles,$(1)) $(BUILD)/tests/support/assert_mock.o $(ARCHIVES)
	$$(LINK) $(call wraps,$(1)) $$(filter %.o,$$^) $(ARCHIVES) $$(LIBS) -lcmocka -o $$@
endef
$(foreach t,$(TEST_SRC) $(COMPONENT_SRC) $(wildcard tests/e2e/*.c tests/bench/*.c tests/interop/*.c),$(eval $(call test_rule,$(t))))

# A fuzz target is linked with replay.c, which feeds it its corpus, and with libFuzzer, which finds more.
FUZZ_SRC  := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BINS := $(FUZZ_SRC:%.c=$(BUILD)/%)
FUZZ_SECONDS ?= 20
FUZZ_SEED    ?= 0# another one each time
FUZZ_RUNS    ?= -1# no end before FUZZ_SECONDS
FIXED_ADDRESSES := $(shell setarch -R true 2>/dev/null && echo setarch -R)# what libFuzzer tries next depends on them
$(FUZZ_BINS): %: %.o $(BUILD)/tests/fuzz/replay.o $(ARCHIVES)
	$(LINK) $(filter %.o,$^) $(ARCHIVES) $(LIBS) -o $@
$(FUZZ_BINS:%=%.libfuzzer): %.libfuzzer: %.o $(ARCHIVES)
	$(LINK) -fsanitize=fuzzer $< $(ARCHIVES) $(LIBS) -o $@
replay: $(FUZZ_BINS)
	@for t in $^; do $$t tests/fuzz/corpus/$${t##*/fuzz_} >$$t.log 2>&1 || { cat $$t.log; echo "FAILED $$t"; exit 1; }; done
fuzz: ## fuzz targets with libFuzzer, FUZZ_SECONDS each; findings go to build/asan
	+$(WITH_ASAN) fuzz-run
fuzz-run: $(FUZZ_BINS:%=%.libfuzzer)
	@for t in $(FUZZ_BINS); do n=$${t##*/fuzz_}; mkdir -p $(BUILD)/found/$$n; echo "fuzz_$$n, $(FUZZ_SECONDS) s"; \
	  $(FIXED_ADDRESSES) $$t.libfuzzer -seed=$(FUZZ_SEED) -runs=$(FUZZ_RUNS) -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -print_final_stats=1 -artifact_prefix=$(BUILD)/$$n- \
	    $(BUILD)/found/$$n tests/fuzz/corpus/$$n >$$t.log 2>&1 || { tail -60 $$t.log; exit 1; }; \
	  grep -E 'number_of_executed|DONE' $$t.log; done

unit: $(TEST_BINS) replay ## unit tests, and the fuzz targets' corpus
	@printf '%s\n' $(TEST_BINS) | xargs -P2 -I{} sh -c '{} >{}.log 2>&1 || { cat {}.log; echo "FAILED {}"; exit 255; }'
	@cat $(TEST_BINS:%=%.log) | awk '/PASSED  \]/ && / test\(s\)/ {n += $$4} END {print n+0, "unit tests passed,", 0, "failed"}'
$(addprefix $(BUILD)/tests/integration/test_,command_line early_signal): $(PROGRAMS)
component: $(COMPONENT_BINS) ## tests on librdkafka's mock cluster and scripted peers
	@printf '%s\n' $^ | xargs -P2 -I{} sh -c 'hack/component.sh {} || exit 255'
	@cat $(^:%=%.log) | awk '/PASSED  \]/ && / test\(s\)/ {n += $$4} END {print n+0, "passed"}'
# One tree of objects serves the units under sanitizers and the fuzz targets.
WITH_ASAN = $(MAKE) BUILD=$(BUILD)/asan CC="$(CLANG)" HARDEN= CFLAGS="-O1 -g" \
            EXTRA="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all"
asan: ## unit tests under ASan and UBSan
	+$(WITH_ASAN) unit
tsan: ## unit tests under TSan
	$(MAKE) BUILD=$(BUILD)/tsan HARDEN= CFLAGS="-O1 -g" EXTRA="-fsanitize=thread" unit

# ---- the test bed
deps: ## install the Debian packages that are missing (root or sudo)
	@hack/deps/apt.sh
images: build ## container images of the programs, under build/images
	@BUILD=$(BUILD) hack/images/build.sh
bed: ## a cluster, Kafka and backends, up until hack/bed/down
	@hack/bed/up

test: ## everything, as CI runs it: units, sanitizers, planted bugs, end to end on a bed of its own
	@hack/test.sh
demo: ## everything on a real cluster: operator, scaling on lag, kill -9; KEEP=1 leaves it up
	@KEEP=$(KEEP) hack/demo.sh
try: build ## a single-node pipeline in under a minute, without the bed
	@python3 hack/try.py
bench: bench-edge bench-gateway ## what it costs, and what the peers cost, on the bed that is up
bench-edge: build $(BUILD)/tests/bench/bench_commit ## an edge, the Collector beside it (docs/reference/benchmarks.md)
	@hack/bed/build otelcol otelcol-logs
	@hack/bed/in python3 tests/bench/edge.py --peers --signals
	@hack/bed/in python3 tests/bench/lines.py --peers
bench-gateway: build $(BUILD)/tests/bench/bench_net ## a gateway, the Collector beside it
	@hack/bed/build otelcol
	@hack/bed/in python3 tests/bench/gateway.py --peers
bench-backlog: build ## how ten GiB drain when Kafka is back
	@hack/bed/in python3 tests/bench/backlog.py
SOAK := $(addprefix unit/sidecar/spool/test_,lives store marks cursor recovery) $(addprefix integration/test_,spool_disk tail_crash tail_storm loss sigterm tail_faults receive_faults edge_faults replicated)
soak: build $(SOAK:%=$(BUILD)/tests/%) ## what is broken on purpose, at length, on the bed that is up; prints seeds (hack/soak.sh --help)
	@hack/soak.sh
INTEROP_PARTS ?= python interop-go interop-java otelcol prometheus# of hack/bed/build
interop: build $(BUILD)/tests/interop/json_peer ## edge and gateways with what others make: SDKs, Collector, HAProxy, h2spec, Prometheus
	@hack/bed/build $(INTEROP_PARTS)
	@BUILD=$(abspath $(BUILD)) "$$(hack/bed/build --path python)/bin/python" -m pytest -q -p no:cacheprovider tests/interop
e2e: images ## end-to-end tests on the bed that is up
	@hack/bed/in python3 -m pytest -q -p no:cacheprovider tests/e2e
chart: ## copy the CRDs into the chart, render manifests/install.yaml
	@hack/chart-crds.sh && hack/render-manifests.sh

# ---- checks
check: unit asan analyze tidy headers layers banned hardened format generated ## what must be clean before a commit
analyze: $(ALL_SRC:%.c=$(BUILD)/%.analyzed) ## gcc -fanalyzer
tidy: $(ALL_SRC:%.c=$(BUILD)/%.tidied) ## clang-tidy
headers: $(HEADERS:%.h=$(BUILD)/%.alone) ## each header compiles alone
# A stamp beside the object says that a checker found nothing; what rebuilds the object is checked again.
# gcc 12 takes what hangs on a list's tail pointer for leaked; LeakSanitizer covers that ground.
$(BUILD)/%.analyzed: %.c $(BUILD)/%.o
	gcc -std=c17 $(CPPFLAGS) -O2 -Wall -Werror -fanalyzer -Wno-analyzer-malloc-leak -c $< -o /dev/null
	@touch $@
$(BUILD)/%.tidied: %.c $(BUILD)/%.o .clang-tidy
	clang-tidy-14 --quiet $< -- -std=c17 $(CPPFLAGS)
	@touch $@
$(BUILD)/%.alone: %.h
	@mkdir -p $(@D)
	printf '#include "%s"\nextern int alone;\n' $< | \
	  $(CC) -std=c17 $(CPPFLAGS) $(WARN) -fsyntax-only -MMD -MP -MF $@.d -MT $@ -x c -
	@touch $@
layers: ## includes point the right way, libraries have one door; the page of metrics and the planted bugs fit the tree
	@hack/check-layers.sh && hack/metrics.py --check && hack/mutants.sh --check
named: ## tests that the documentation names exist
	@hack/check-named-tests.sh
generated: ## the chart's CRD and manifests/install.yaml are what their sources make
	@hack/chart-crds.sh --check && hack/render-manifests.sh --check
mutants: ## every planted bug must be caught by a test
	@hack/mutants.sh
banned: build ## no object file calls a banned function
	@! find $(BUILD)/common $(BUILD)/sidecar $(BUILD)/controller -name '*.o' -exec nm -A -u {} + | grep -wE '$(BANNED)'
hardened: build ## the programs are built as SECURITY.md says
	@hack/hardened.sh $(PROGRAMS)
compdb: ## write compile_commands.json
	@$(MAKE) -nB build unit | hack/compdb.awk > compile_commands.json
format: ## fails where clang-format would change something
	@clang-format-14 --dry-run --Werror $$(find common controller sidecar tests -name '*.[ch]')
fmt: ## reformat
	@clang-format-14 -i $$(find common controller sidecar tests -name '*.[ch]')
clean: ## remove build output
	rm -rf $(BUILD) compile_commands.json
.PHONY: always soak named bench bench-edge bench-gateway bench-backlog interop chart generated build test demo try e2e deps images bed help unit replay fuzz fuzz-run component asan tsan check analyze headers layers mutants banned hardened compdb tidy format fmt clean
.SECONDARY:
# Not those of the sanitizers' builds, one of which may be under way beside this one.
-include $(shell find $(BUILD) \( -path $(BUILD)/asan -o -path $(BUILD)/tsan \) -prune -o -name '*.d' -print 2>/dev/null)
