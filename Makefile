# Builds unroll with GNU make, gcc or clang. `make help` lists the targets. Everything made lies in build/.
#
# Nothing is listed twice: the library is every graph/*.c ops/*.c layers/*.c optim/*.c, the command every tools/*.c, a
# test every tests/test_*.c and tests/*.sh. The tables of operations, cells, tasks and optimisers are made from the file
# names: ops/NAME.c defines ur_op_NAME, layers/cell_NAME.c ur_cell_NAME, optim/task_NAME.c ur_task_NAME and
# optim/optim_NAME.c ur_optim_NAME. Only ops/ops.c is no operation; it reads their table.

VERSION := 0.1.0
SONAME  := libunroll.so.0

# Yours to set: make CC=clang CFLAGS='-O0 -g' WERROR=1; V=1 shows the commands whole.
BUILD         ?= build
CFLAGS        ?= -O3 -g1 -falign-functions=32
KERNEL_CFLAGS ?= -O2 -ftree-vectorize $(VECTOR_COST) -g0 -falign-functions=64 -falign-loops=32
WERROR        ?= 0
PREFIX        ?= /usr/local
BINDIR        ?= $(PREFIX)/bin
LIBDIR        ?= $(PREFIX)/lib
INCLUDEDIR    ?= $(PREFIX)/include
INSTALL       ?= install
PKG_CONFIG    ?= pkg-config
CLANG_FORMAT  ?= clang-format
CLANG_TIDY    ?= clang-tidy
CPPCHECK      ?= cppcheck
VALGRIND      ?= valgrind
GCOV          ?= gcov
SEED          ?= 2
V             ?= 0

# As many jobs as processors, unless -j says otherwise.
PROCESSORS := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
ifeq ($(filter -j% --jobserver%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(PROCESSORS)
endif

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all help demo examples test slow deps deps-lint lint lint-format lint-cppcheck lint-tidy \
        sanitize valgrind coverage install clean FORCE
FORCE:

# ---- flags

# gcc makes vectors of loops of any length only if it is told so; clang has no such option.
VECTOR_COST := $(shell $(CC) -fvect-cost-model=dynamic -E -x c /dev/null >/dev/null 2>&1 && echo -fvect-cost-model=dynamic)

WARNINGS := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wvla
ifeq ($(WERROR),1)
WARNINGS += -Werror
endif
# No fused multiply-add and no errno or trap in the way of vector code; never -ffast-math, which reorders sums and folds
# isfinite away.
# _XOPEN_SOURCE=700 is POSIX 2008.
LANGUAGE := -std=c11 -D_XOPEN_SOURCE=700 -I.
FLOAT    := -ffp-contract=off -fno-math-errno -fno-trapping-math
# In the shared library, too, a function is the one that stands here: it may be inlined, and is called without a table.
SHARED   := -fPIC -fno-semantic-interposition -fno-plt
COMPILE   = $(CC) $(LANGUAGE) $(CPPFLAGS) $(SHARED) -MMD -MP $(WARNINGS) $(CFLAGS) $(FLOAT)
LIBS     := -lm -lpthread

# $(call SAY,CC) names what is made in a short line.
ifeq ($(V),0)
SAY = @printf '%-4s %s\n' $(1) $@;
endif

# ---- what there is

OBJ       := $(BUILD)/obj
GENERATED := $(BUILD)/generated
STAMP     := $(BUILD)/stamp

OPS   := $(patsubst ops/%.c,ur_op_%,$(sort $(filter-out ops/ops.c,$(wildcard ops/*.c))))
CELLS := $(patsubst layers/cell_%.c,ur_cell_%,$(sort $(wildcard layers/cell_*.c)))
TASKS := $(patsubst optim/task_%.c,ur_task_%,$(sort $(wildcard optim/task_*.c)))
OPTIMS := $(patsubst optim/optim_%.c,ur_optim_%,$(sort $(wildcard optim/optim_*.c)))
TABLES := $(GENERATED)/ops_table.c $(GENERATED)/cells_table.c $(GENERATED)/tasks_table.c \
          $(GENERATED)/optims_table.c

LIB_C   := $(sort $(wildcard graph/*.c ops/*.c ops/kernels/table.c layers/*.c optim/*.c))
TOOL_C  := $(sort $(wildcard tools/*.c))
HEADERS := $(addprefix $(BUILD)/include/unroll/,graph/graph.h ops/ops.h layers/layers.h optim/optim.h) \
           $(BUILD)/include/unroll.h

# Each of these is ops/kernels/kernels.c once more: for a type and an instruction set. Within one, products may be fused
# into sums; the portable ones are not, so that they are the same everywhere. Loops begin on halves of a cache line: a
# product lost a sixth of its speed where a change elsewhere had moved it. They decide how long a build takes: what -O3
# adds to vectors makes none of them faster, and what debuggers read takes a tenth.
ISAS := portable $(if $(findstring x86_64,$(shell $(CC) -dumpmachine)),avx2 avx512)
KERNELS := $(foreach isa,$(ISAS),kernels_f32_$(isa) kernels_f64_$(isa))
VECTOR_portable := 16
VECTOR_avx2     := 32
VECTOR_avx512   := 64
FLAGS_avx2   := -mavx2 -mfma -ffp-contract=fast $(VECTOR_CFLAGS)
FLAGS_avx512 := -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512 -ffp-contract=fast $(VECTOR_CFLAGS)
KERNEL_DEFINE = -DUR_REAL=$(1) -DUR_TABLE=ur__kernels_$(2)_$(3) -DUR_VECTOR=$(VECTOR_$(3)) $(FLAGS_$(3))
$(foreach isa,$(ISAS),$(eval $(OBJ)/ops/kernels/kernels_f32_$(isa).o: DEFINE = $(call KERNEL_DEFINE,float,f32,$(isa))))
$(foreach isa,$(ISAS),$(eval $(OBJ)/ops/kernels/kernels_f64_$(isa).o: DEFINE = $(call KERNEL_DEFINE,double,f64,$(isa))))

LIB_O  := $(LIB_C:%.c=$(OBJ)/%.o) $(KERNELS:%=$(OBJ)/ops/kernels/%.o) \
          $(TABLES:$(GENERATED)/%.c=$(OBJ)/generated/%.o)
TOOL_O := $(TOOL_C:%.c=$(OBJ)/%.o)

# ---- all

all: $(BUILD)/libunroll.a $(BUILD)/libunroll.so $(BUILD)/unroll $(HEADERS) ## the library, static and shared, and the command (default)

$(BUILD)/libunroll.a: $(LIB_O) $(STAMP)/library
	$(call SAY,AR)rm -f $@ && $(AR) rcs $@ $(LIB_O)

$(BUILD)/$(SONAME): $(LIB_O) $(STAMP)/library
	$(call SAY,LD)$(CC) -shared -Wl,-soname,$(SONAME) $(CFLAGS) $(LDFLAGS) -o $@ $(LIB_O) $(LIBS)

$(BUILD)/libunroll.so: $(BUILD)/$(SONAME)
	@ln -sf $(SONAME) $@

$(BUILD)/unroll: $(TOOL_O) $(BUILD)/libunroll.a $(STAMP)/command
	$(call SAY,LD)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(TOOL_O) $(BUILD)/libunroll.a $(LIBS)

$(OBJ)/%.o: %.c $(STAMP)/flags
	@mkdir -p $(@D)
	$(call SAY,CC)$(COMPILE) $(DEFINE) -c -o $@ $<

TOOL_DEFINE := -DUR_VERSION=\"$(VERSION)\"
$(OBJ)/tools/%.o: DEFINE := $(TOOL_DEFINE)

$(OBJ)/generated/%.o: $(GENERATED)/%.c $(STAMP)/flags
	@mkdir -p $(@D)
	$(call SAY,CC)$(COMPILE) -c -o $@ $<

$(KERNELS:%=$(OBJ)/ops/kernels/%.o): ops/kernels/kernels.c $(STAMP)/flags
	@mkdir -p $(@D)
	$(call SAY,CC)$(COMPILE) $(KERNEL_CFLAGS) $(DEFINE) -c -o $@ $<

# Files made from what make knows change only when their text does: a table when a file came or went, a stamp when the
# flags or the list of objects are others than in the last build.
WRITE = @mkdir -p $(@D) && printf '%s\n' $(1) > $@.new && \
        if cmp -s $@.new $@; then rm -f $@.new; else mv -f $@.new $@; fi

# $(call TABLE,header,type,name of the table,the descriptors)
TABLE = $(call WRITE,'/* Made by make from the names of the files. */' '$(hash)include "$(1)"' '' \
        $(foreach x,$(4),'extern const $(2) $(x);') '' 'extern const $(2) *const $(3)[];' 'const $(2) *const $(3)[] = {' \
        $(foreach x,$(4),'    &$(x)$(comma)') '    NULL$(comma)' '};')
comma := ,
hash  := \#

$(GENERATED)/ops_table.c: FORCE
	$(call TABLE,ops/ops.h,ur_op,ur__ops,$(OPS))
$(GENERATED)/cells_table.c: FORCE
	$(call TABLE,layers/layers.h,ur_cell,ur__cells,$(CELLS))
$(GENERATED)/tasks_table.c: FORCE
	$(call TABLE,optim/optim.h,ur_task,ur__tasks,$(TASKS))
$(GENERATED)/optims_table.c: FORCE
	$(call TABLE,optim/optim.h,ur_optim,ur__optims,$(OPTIMS))
$(STAMP)/flags: FORCE
	$(call WRITE,'$(subst ','\'',$(COMPILE) $(KERNEL_CFLAGS) $(VERSION) $(LDFLAGS))')
$(STAMP)/library: FORCE
	$(call WRITE,$(LIB_O))
$(STAMP)/command: FORCE
	$(call WRITE,$(TOOL_O))

# The headers as they are installed.
$(BUILD)/include/unroll/%.h: %.h
	@mkdir -p $(@D)
	@cp $< $@
$(BUILD)/include/unroll.h: FORCE
	$(call WRITE,'/* unroll.h - the whole library. */' '$(hash)include "unroll/graph/graph.h"' '$(hash)include "unroll/ops/ops.h"' \
	             '$(hash)include "unroll/layers/layers.h"' '$(hash)include "unroll/optim/optim.h"')

# ---- examples

# Each is a program by itself, built as its reader would build it: against the headers as installed, and the library.
EXAMPLES := $(patsubst tools/%.c,$(BUILD)/%,$(sort $(wildcard tools/examples/*.c)))
examples: $(EXAMPLES) ## the programs of tools/examples

$(OBJ)/tools/examples/%.o: DEFINE := -I$(BUILD)/include
$(EXAMPLES:$(BUILD)/%=$(OBJ)/tools/%.o): | $(HEADERS)
$(EXAMPLES): $(BUILD)/%: $(OBJ)/tools/%.o $(BUILD)/libunroll.a
	@mkdir -p $(@D)
	$(call SAY,LD)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# ---- demo

DEMO := $(BUILD)/demo
demo: $(BUILD)/unroll ## the main job: train the lecture's network on the Reber grammar, test it, draw it (SEED=2)
	@mkdir -p $(DEMO)
	$(BUILD)/unroll train rnn --task reber --hidden 4 --lr 1 --reduce mean --epochs 10000 --until-zero-errors \
	    --seed $(SEED) --save $(DEMO)/reber.safetensors --log $(DEMO)/run.csv --plot $(DEMO)/loss.svg
	$(BUILD)/unroll eval $(DEMO)/reber.safetensors --task reber
	$(BUILD)/unroll graph rnn --hidden 4 --out sigmoid --format dot -o $(DEMO)/rnn.dot
	@if command -v dot >/dev/null 2>&1; then dot -Tsvg -o $(DEMO)/rnn.svg $(DEMO)/rnn.dot; \
	 else echo 'no Graphviz here: $(DEMO)/rnn.dot stays without its picture (make deps installs it)'; fi
	@ls -l $(DEMO)

# ---- tests

# tests/test_NAME.c is a program; what else is in tests/*.c is linked into each. tests/slow/ is the same for `make slow`.
# A script runs in the root of the repository with UNROLL, the command, and BUILD, the directory, in its environment.
# What looks at the product as it is shipped is in vain where it is instrumented: INSTRUMENTED=1 leaves it out.
TESTS      := $(patsubst %.c,%,$(sort $(wildcard tests/test_*.c)))
SLOW_TESTS := $(patsubst %.c,%,$(sort $(wildcard tests/slow/test_*.c)))
TEST_HELP  := $(patsubst %.c,$(OBJ)/%.o,$(filter-out tests/test_%,$(sort $(wildcard tests/*.c))))
SCRIPTS    := $(sort $(wildcard tests/*.sh))
SLOW_SCRIPTS := $(sort $(wildcard tests/slow/*.sh))
ifdef INSTRUMENTED
SCRIPTS := $(filter-out tests/symbols.sh,$(SCRIPTS))
endif

CHECK_CFLAGS = $(shell $(PKG_CONFIG) --cflags check 2>/dev/null)
CHECK_LIBS   = $(shell $(PKG_CONFIG) --libs check 2>/dev/null || echo -lcheck -lsubunit -lrt -lm -lpthread)

$(OBJ)/tests/%.o: DEFINE = $(CHECK_CFLAGS)
$(TESTS:%=$(BUILD)/%) $(SLOW_TESTS:%=$(BUILD)/%): $(BUILD)/%: $(OBJ)/%.o $(TEST_HELP) $(BUILD)/libunroll.a
	@mkdir -p $(@D)
	$(call SAY,LD)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(LIBS)

# The scripts first: one of them takes longest, and runs while the programs are linked.
TEST_LOGS := $(SCRIPTS:%=$(BUILD)/log/%.log) $(TESTS:%=$(BUILD)/log/%.log)
SLOW_LOGS := $(SLOW_TESTS:%=$(BUILD)/log/%.log) $(SLOW_SCRIPTS:%=$(BUILD)/log/%.log)
TEST_ENVIRONMENT = UNROLL='$(abspath $(BUILD)/unroll)' BUILD='$(abspath $(BUILD))' CC='$(CC)'

test: $(TEST_LOGS) ## every test that is quick
	@tools/run-test.sh --sum $(TEST_LOGS)
slow: $(SLOW_LOGS) ## the tests that take their time: trainings by several seeds
	@tools/run-test.sh --sum $(SLOW_LOGS)

$(TESTS:%=$(BUILD)/log/%.log) $(SLOW_TESTS:%=$(BUILD)/log/%.log): $(BUILD)/log/%.log: $(BUILD)/% $(BUILD)/unroll FORCE
	@$(TEST_ENVIRONMENT) tools/run-test.sh $@ $(TEST_WRAPPER) $<
$(SCRIPTS:%=$(BUILD)/log/%.log) $(SLOW_SCRIPTS:%=$(BUILD)/log/%.log): $(BUILD)/log/%.log: % all FORCE
	@$(TEST_ENVIRONMENT) tools/run-test.sh $@ ./$<
$(BUILD)/log/tests/examples.sh.log: $(EXAMPLES)

# ---- checks that build once more

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
# Optimised, since the tests then take two thirds of the time. Of the kernels, one source, the portable ones are
# instrumented: the others take minutes to compile that way.
sanitize: ## the tests with the address and undefined-behaviour sanitizers
	$(MAKE) BUILD=$(BUILD)/sanitize INSTRUMENTED=1 CFLAGS='-O2 -g1 -fno-omit-frame-pointer $(SANITIZE)' KERNEL_CFLAGS= \
	    VECTOR_CFLAGS=-fno-sanitize=all test

VALGRIND_RUN := $(VALGRIND) --quiet --error-exitcode=1 --leak-check=full
valgrind: ## the test programs under valgrind
	CK_FORK=no $(MAKE) BUILD=$(BUILD)/valgrind INSTRUMENTED=1 CFLAGS='-O1 -g' KERNEL_CFLAGS= \
	    TEST_WRAPPER='$(VALGRIND_RUN)' SCRIPTS= test

coverage: ## lines and branches of each folder that the tests reach
	rm -rf $(BUILD)/coverage/obj
	$(MAKE) BUILD=$(BUILD)/coverage INSTRUMENTED=1 CFLAGS='-O0 -g --coverage -fprofile-update=atomic' KERNEL_CFLAGS= test
	@tools/coverage.sh $(BUILD)/coverage '$(GCOV)'

# ---- lint

C_FILES := $(sort $(wildcard $(foreach d,graph ops ops/kernels layers optim tools tools/examples tests tests/slow,$d/*.c $d/*.h)))
LINT_DEFINE := -DUR_REAL=float -DUR_TABLE=ur__kernels_f32_portable -DUR_VECTOR=16 $(TOOL_DEFINE)

# What cppcheck is not asked for: -Wshadow judges the names that hide others, and a local name may be that of a function;
# a buffer stands beside the variables whose life it shares; an interface has members for its users alone; a store
# through a cast pointer is no lost value, and clang-analyzer finds those that are.
CPPCHECK_OFF := shadowFunction variableScope unusedStructMember:*.h unreadVariable

lint: lint-format lint-cppcheck lint-tidy ## clang-format, cppcheck and clang-tidy find nothing (-k: go on past the first)
lint-format:
	@echo $(CLANG_FORMAT)
	@$(CLANG_FORMAT) --dry-run --Werror $(C_FILES)
lint-cppcheck:
	@echo $(CPPCHECK)
	@$(CPPCHECK) --quiet --std=c11 --language=c -j$(PROCESSORS) --enable=warning,style,performance,portability \
	    --inline-suppr --error-exitcode=1 $(CPPCHECK_OFF:%='--suppress=%') $(LINT_DEFINE) $(filter %.c,$(C_FILES))
# Speaks only where something was found: the count of warnings in system headers is no news.
lint-tidy: $(HEADERS)
	@echo $(CLANG_TIDY)
	@printf '%s\n' $(filter %.c,$(C_FILES)) | xargs -P $(PROCESSORS) -n 1 sh -c \
	    'out=$$($(CLANG_TIDY) --quiet "$$0" -- $(LANGUAGE) -I$(BUILD)/include $(CHECK_CFLAGS) $(LINT_DEFINE) 2>&1) || \
	     { printf "%s\n" "$$out"; exit 1; }'

# ---- dependencies, installation

deps: ## install what tests and pictures need: Check, pkg-config, Graphviz
	tools/deps.sh
deps-lint: ## and what lint and valgrind need: clang-format, clang-tidy, cppcheck, valgrind
	tools/deps.sh lint

install: all ## PREFIX=/usr/local DESTDIR=: library, headers, unroll.pc, command
	$(INSTALL) -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(LIBDIR)/pkgconfig' \
	    $(patsubst %,'$(DESTDIR)$(INCLUDEDIR)/unroll/%',graph ops layers optim)
	$(INSTALL) -m 755 $(BUILD)/unroll '$(DESTDIR)$(BINDIR)/unroll'
	$(INSTALL) -m 644 $(BUILD)/libunroll.a '$(DESTDIR)$(LIBDIR)/libunroll.a'
	$(INSTALL) -m 755 $(BUILD)/$(SONAME) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libunroll.so'
	for h in $(HEADERS:$(BUILD)/include/%=%); do \
	    $(INSTALL) -m 644 $(BUILD)/include/$$h '$(DESTDIR)$(INCLUDEDIR)'/$$h || exit 1; done
	printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$(INCLUDEDIR)' '' 'Name: unroll' \
	    'Description: computation-graph autodiff of recurrent networks' 'Version: $(VERSION)' \
	    'Cflags: -I$${includedir}' 'Libs: -L$${libdir} -lunroll' 'Libs.private: $(LIBS)' \
	    > '$(DESTDIR)$(LIBDIR)/pkgconfig/unroll.pc'

clean: ## remove build/
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "make %-10s %s\n", $$1, $$2 }'

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
