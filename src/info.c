/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * info.c - what the library can do on this machine, and why it cannot do more.
 *
 * Each engine is tried: an arena, a snapshot, a write, and the old value read back. Nothing is
 * derived from the kernel's version.
 */
#include "config.h"

#include "command.h"
#include "costs.h"
#include "cowarena.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_MAX ((size_t)32 << 20) /* doc/design.md, "The size of a chunk" */
#define THP "/sys/kernel/mm/transparent_hugepage/"

static struct probe {
	const char *name;
	unsigned engine, flags;
	char reason[400]; /* why it cannot be used; empty if it can */
} probes[] = {
    {"hybrid", COWARENA_ENGINE_HYBRID, 0, ""},
    {"kernel", COWARENA_ENGINE_KERNEL, 0, ""},
    {"sigsegv", COWARENA_ENGINE_SIGSEGV, 0, ""},
    {"uffd", COWARENA_ENGINE_UFFD, 0, ""},
    {"eager", COWARENA_ENGINE_EAGER, 0, ""},
    {"uffd-syscall-safe", COWARENA_ENGINE_UFFD, COWARENA_SYSCALL_SAFE, ""},
};

enum {
	AUTO,
	PAGE_SIZE,
	MEMORY,
	MAP_COUNT,
	OVERCOMMIT,
	COLLAPSE,
	THP_PRIVATE,
	THP_SHARED,
	COST_FAULT,
	COST_PROTECT,
	COST_SIGNAL,
	COST_COPY
};

static struct fact {
	const char *key, *label, *remark;
	bool is_text;
	char value[32]; /* empty = not known */
} facts[] = {
    [AUTO] = {"engine_auto", "engine by default", "", true, ""},
    [PAGE_SIZE] = {"page_size", "page size", " bytes", false, ""},
    [MEMORY] = {"memory_bytes", "physical memory", " bytes", false, ""},
    [MAP_COUNT] = {"max_map_count", "vm.max_map_count", "", false, ""},
    [OVERCOMMIT] = {"overcommit_memory", "vm.overcommit_memory",
		    " (0 heuristic, 1 always, 2 strict)", false, ""},
    [COLLAPSE] = {"huge_pages_collapse", "huge pages of arenas", "", true, ""},
    [THP_PRIVATE] = {"huge_pages", "huge pages", "", true, ""},
    [THP_SHARED] = {"huge_pages_shared", "huge pages, shared", "", true, ""},
    [COST_FAULT] = {"cost_fault_ns", "cost of a kernel's copy", " ns", false, ""},
    [COST_PROTECT] = {"cost_protect_ns", "cost of mprotect(2)", " ns", false, ""},
    [COST_SIGNAL] = {"cost_signal_ns", "cost of a signal", " ns", false, ""},
    [COST_COPY] = {"cost_copy_ns", "cost of copying a page", " ns", false, ""},
};

/* ---- the engines ---- */

/* Take a snapshot, write, and read the old value. Returns: NULL, or why it failed. */
static const char *try_snapshot(cowarena *arena)
{
	volatile int *now = cowarena_calloc(arena, 1, sizeof *now);
	int then = -1;

	if (!now)
		return cowarena_errmsg();
	*now = 1;
	cowarena_snapshot *snap = cowarena_snapshot_take(arena, 0);
	if (!snap)
		return cowarena_errmsg();
	*now = 2;
	if (cowarena_snapshot_read(snap, &then, (const int *)now, sizeof then))
		return cowarena_errmsg();
	return then == 1 && *now == 2 ? NULL : "the snapshot did not hold the old value";
}

static const char *try_options(unsigned engine, unsigned flags)
{
	static char said[sizeof probes->reason];
	struct cowarena_options options = COWARENA_OPTIONS_INIT;
	const char *reason;
	sigset_t blocked;

	/* With these signals blocked, the kernel would kill this process at the write. Signal masks
	   are inherited from the parent. */
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	if (sigismember(&blocked, SIGSEGV) || sigismember(&blocked, SIGBUS))
		return "SIGSEGV or SIGBUS is blocked: start this from a process that does "
		       "not block them";
	options.engine = engine;
	options.flags = flags | COWARENA_STRICT_ENGINE;
	cowarena *arena = cowarena_create(&options);
	reason = arena ? try_snapshot(arena) : cowarena_errmsg();
	if (reason)
		snprintf(said, sizeof said, "%s", reason);
	cowarena_destroy(arena);
	return reason ? said : NULL;
}

const char *try_engine(unsigned engine)
{
	return try_options(engine, 0);
}

bool find_engine(const char *name, unsigned *engine)
{
	for (const struct probe *p = probes; p < probes + COUNT(probes); p++)
		if (!p->flags && strcmp(p->name, name) == 0) {
			*engine = p->engine;
			return true;
		}
	return false;
}

/* Find out which engine is the default, and whether it gets huge pages. */
static void try_default(void)
{
	struct cowarena_stats stats = {.sz = sizeof stats};
	struct fact *collapse = &facts[COLLAPSE];
	/* A few whole chunks. A chunk has at most as many pages as a page holds entries of 8
	   bytes. */
	size_t page = (size_t)sysconf(_SC_PAGESIZE), chunk = page / 8 * page;
	size_t n = 4 * (chunk < CHUNK_MAX ? chunk : CHUNK_MAX);
	cowarena *arena = cowarena_create(NULL);
	char *p = arena ? cowarena_alloc(arena, n) : NULL;

	if (!p) {
		cowarena_destroy(arena);
		return;
	}
	memset(p, 1, n);
	snprintf(facts[AUTO].value, sizeof facts[AUTO].value, "%s", cowarena_engine_name(arena));
	if (cowarena_compact(arena) == 0 && cowarena_stats_get(arena, &stats) == 0)
		snprintf(collapse->value, sizeof collapse->value, "%s",
			 stats.huge_bytes ? "works" : "no");
	if (!stats.huge_bytes)
		collapse->remark = ": MADV_COLLAPSE is refused; Linux 6.1 or later has it, built "
				   "with CONFIG_TRANSPARENT_HUGEPAGE";
	cowarena_destroy(arena);
}

/* ---- the system ---- */

/* The first line of a file; only "madvise" of "always [madvise] never". */
static void read_fact(struct fact *f, const char *path)
{
	char line[128];
	FILE *file = fopen(path, "re");

	if (!file)
		return;
	if (fgets(line, sizeof line, file)) {
		const char *from = strchr(line, '[');
		from = from ? from + 1 : line;
		snprintf(f->value, sizeof f->value, "%.*s", (int)strcspn(from, "]\n"), from);
	}
	fclose(file);
}

static void set_fact(struct fact *f, long long n)
{
	if (n > 0)
		snprintf(f->value, sizeof f->value, "%lld", n);
}

static void read_facts(void)
{
	long size = sysconf(_SC_PAGESIZE);

	set_fact(&facts[PAGE_SIZE], size);
	set_fact(&facts[MEMORY], (long long)sysconf(_SC_PHYS_PAGES) * size);
	read_fact(&facts[MAP_COUNT], "/proc/sys/vm/max_map_count");
	read_fact(&facts[OVERCOMMIT], "/proc/sys/vm/overcommit_memory");
	read_fact(&facts[THP_PRIVATE], THP "enabled");
	read_fact(&facts[THP_SHARED], THP "shmem_enabled");
}

static void measure_costs(void)
{
	struct costs costs;

	if (!costs_measure(&costs))
		return;
	set_fact(&facts[COST_FAULT], (long long)costs.fault_ns);
	set_fact(&facts[COST_PROTECT], (long long)costs.protect_ns);
	set_fact(&facts[COST_SIGNAL], (long long)costs.signal_ns);
	set_fact(&facts[COST_COPY], (long long)costs.copy_ns);
	facts[COST_FAULT].remark =
	    costs_are_dear(&costs)
		? " ns: page tables are dear here, as in a virtual machine under load"
		: " ns: page tables are cheap here";
}

/* ---- info ---- */

static void print_table(void)
{
	printf("%-25s %s\n", "version", cowarena_version());
	printf("%-25s %s\n", "trap", trap_name);
	for (const struct probe *p = probes; p < probes + COUNT(probes); p++)
		printf("engine %-18s %s%s\n", p->name, *p->reason ? "no: " : "works", p->reason);
	for (const struct fact *f = facts; f < facts + COUNT(facts); f++)
		printf("%-25s %s%s\n", f->label, *f->value ? f->value : "not known",
		       *f->value ? f->remark : "");
}

static void print_json(void)
{
	printf("{\"version\": \"%s\", \"trap\": \"%s\", \"engines\": {", cowarena_version(),
	       trap_name);
	for (const struct probe *p = probes; p < probes + COUNT(probes); p++) {
		printf("%s\"%s\": {\"works\": %s, \"reason\": ", p == probes ? "" : ", ", p->name,
		       *p->reason ? "false" : "true");
		json_text(stdout, p->reason);
		putchar('}');
	}
	putchar('}');
	for (const struct fact *f = facts; f < facts + COUNT(facts); f++) {
		printf(", \"%s\": ", f->key);
		if (f->is_text || !*f->value)
			json_text(stdout, f->value);
		else
			fputs(f->value, stdout);
	}
	puts("}");
}

int info(bool json)
{
	for (struct probe *p = probes; p < probes + COUNT(probes); p++) {
		const char *reason = try_options(p->engine, p->flags);
		snprintf(p->reason, sizeof p->reason, "%s", reason ? reason : "");
	}
	try_default();
	read_facts();
	measure_costs();
	if (json)
		print_json();
	else
		print_table();
	return try_engine(COWARENA_ENGINE_AUTO) ? EXIT_NO_ENGINE : EXIT_OK;
}
