/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-processor.c - what differs between processors: signal frames, the decoding of faults, the
 * size of pages.
 *
 * The test needs only the library, so that `make check-aarch64` can build it for another processor
 * and run it under an emulator. It prints a line for each feature that the emulator lacks, and
 * skips it.
 */
#include "config.h"

#include "cowarena.h"
#include "handlers.h"
#include "os.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

/* gcc has a macro, clang a feature. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif

#define DEMAND(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #condition,         \
			       cowarena_errmsg());                                                 \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* ---- what a handler is handed ---- */

static struct {
	bool by_kernel, by_handler, note_is_null, usr1_was_blocked, usr2_was_blocked;
	enum os_trap trap;
} seen;

static void called_by_handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	seen.by_handler = os_called_by_kernel(__builtin_dwarf_cfa(), info, context);
}

static void (*volatile next_handler)(int, siginfo_t *, void *) = called_by_handler;
static char *volatile faulting;

static void on_fault(int signo, siginfo_t *info, void *context)
{
	sigset_t interrupted;

	seen.by_kernel = os_called_by_kernel(__builtin_dwarf_cfa(), info, context);
	seen.note_is_null = *os_context_note(context) == NULL;
	os_context_signals(context, &interrupted);
	seen.usr1_was_blocked = sigismember(&interrupted, SIGUSR1);
	seen.usr2_was_blocked = sigismember(&interrupted, SIGUSR2);
	seen.trap = os_trap_of(signo, info, context);
	next_handler(signo, info, context);
	mprotect(faulting, os_page_size(), PROT_READ | PROT_WRITE);
}

__attribute__((unused)) static void signal_frames(void)
{
	struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigaction before, told, kept;
	sigset_t usr1;

	sigemptyset(&ours.sa_mask);
	sigaddset(&ours.sa_mask, SIGTERM);
	DEMAND(os_action_get(SIGSEGV, &before) == 0);
	DEMAND(os_action_set(SIGSEGV, &ours) == 0);
	DEMAND(sigaction(SIGSEGV, NULL, &told) == 0 && os_action_get(SIGSEGV, &kept) == 0);
	DEMAND(told.sa_sigaction == on_fault && kept.sa_sigaction == on_fault);
	DEMAND(told.sa_flags == kept.sa_flags);
	DEMAND((kept.sa_flags & (SA_SIGINFO | SA_RESTART)) == (SA_SIGINFO | SA_RESTART));
	DEMAND(os_same_signals(&told.sa_mask, &ours.sa_mask));
	DEMAND(os_same_signals(&kept.sa_mask, &ours.sa_mask));
	DEMAND(!os_same_signals(&kept.sa_mask, &(sigset_t){0}));

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	faulting = mmap(NULL, os_page_size(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	DEMAND(faulting != MAP_FAILED);
	*(volatile char *)faulting = 1;
	DEMAND(seen.trap == OS_TRAP_WRITE);
	DEMAND(seen.by_kernel && !seen.by_handler && seen.note_is_null);
	DEMAND(seen.usr1_was_blocked && !seen.usr2_was_blocked);

	/* A read: not ours, wherever the processor's state comes along. */
	mprotect(faulting, os_page_size(), PROT_NONE);
	(void)*(volatile char *)faulting;
	if (seen.trap == OS_TRAP_WRITE)
		printf("here reads cannot be told from writes: no syndrome comes with a fault\n");
	else
		DEMAND(seen.trap == OS_TRAP_OTHER);
	munmap(faulting, os_page_size());
	sigprocmask(SIG_UNBLOCK, &usr1, NULL);
	DEMAND(os_action_set(SIGSEGV, &before) == 0);
}

static void signals_that_were_sent(void)
{
	static const struct {
		int code;
		bool sent;
	} codes[] = {{SI_USER, true},      {SI_TKILL, true},   {SI_QUEUE, true},
		     {SEGV_ACCERR, false}, {SI_KERNEL, false}, {SEGV_MAPERR, false}};
	ucontext_t context = {0};

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		siginfo_t info = {.si_code = codes[i].code};
		DEMAND(os_signal_was_sent(&info) == codes[i].sent);
		if (codes[i].sent)
			DEMAND(os_trap_of(SIGSEGV, &info, &context) == OS_TRAP_OTHER);
	}
	siginfo_t unmapped = {.si_code = SEGV_MAPERR};
	DEMAND(os_trap_of(SIGSEGV, &unmapped, &context) == OS_TRAP_UNMAPPED);
	DEMAND(os_trap_of(SIGBUS, &unmapped, &context) == OS_TRAP_OTHER);
}

/* ---- the syndrome of aarch64, as the kernel appends it ---- */

#ifdef __aarch64__

static void append(ucontext_t *context, size_t *at, uint32_t magic, uint32_t size)
{
	struct _aarch64_ctx *head = (void *)(context->uc_mcontext.__reserved + *at);

	head->magic = magic;
	head->size = size;
	*at += size;
}

static enum os_trap decoded(uint64_t esr, bool behind_another)
{
	static ucontext_t context;
	siginfo_t info = {.si_code = SEGV_ACCERR};
	size_t at = 0;

	memset(&context, 0, sizeof context);
	if (behind_another)
		append(&context, &at, FPSIMD_MAGIC, sizeof(struct fpsimd_context));
	struct esr_context *e = (void *)(context.uc_mcontext.__reserved + at);
	append(&context, &at, ESR_MAGIC, sizeof *e);
	e->esr = esr;
	append(&context, &at, 0, 0);
	return os_trap_of(SIGSEGV, &info, &context);
}

static void syndromes(void)
{
	/* Class, length of the instruction, status: a permission fault at level 3. */
	const uint64_t status = 1u << 25 | 0x0f, write = 0x40, cache = 0x100;
	const uint64_t data = (uint64_t)0x24 << 26 | status, code = (uint64_t)0x20 << 26 | status;
	ucontext_t nothing = {0};
	siginfo_t info = {.si_code = SEGV_ACCERR};

	for (int behind = 0; behind < 2; behind++) {
		DEMAND(decoded(data | write, behind) == OS_TRAP_WRITE);
		DEMAND(decoded(data, behind) == OS_TRAP_OTHER);
		DEMAND(decoded(data | write | cache, behind) == OS_TRAP_OTHER);
		DEMAND(decoded(code, behind) == OS_TRAP_OTHER);
	}
	/* None: it cannot be told, unless the address is that of the instruction. */
	info.si_addr = &info;
	DEMAND(os_trap_of(SIGSEGV, &info, &nothing) == OS_TRAP_WRITE);
	nothing.uc_mcontext.pc = (uintptr_t)&info;
	DEMAND(os_trap_of(SIGSEGV, &info, &nothing) == OS_TRAP_OTHER);
}

#else

static void syndromes(void)
{
}

#endif

/* ---- snapshots ---- */

#define PAGES 300
#define ROUNDS 20

static void fill(char *p, char *copy, size_t n, unsigned seed)
{
	for (size_t at = seed % 977; at < n; at += 1 + (seed = seed * 1103515245u + 12345u) % 9000)
		p[at] = copy[at] = (char)(seed >> 16);
}

/*
 * Whether the whole of a page becomes private by a write to one byte of it. An emulator makes
 * large pages of the small ones that its host has, and these one by one: then there are no views.
 */
static bool has_whole_pages(void)
{
	size_t n = os_page_size();
	struct os_file file;

	DEMAND(os_memory_file(&file, n) == 0);
	char *shared = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
	char *view = os_map_private(n, &file);
	DEMAND(shared != MAP_FAILED && view);
	os_touch(view);
	shared[n - 1] = 1;
	bool whole = view[n - 1] == 0;
	os_unmap(view, n);
	munmap(shared, n);
	os_file_close(&file);
	return whole;
}

/* A snapshot, a view and a rollback, compared with copies, round by round. */
static void snapshots(cowarena *arena, bool views)
{
	size_t n = PAGES * os_page_size();
	char *p = cowarena_calloc(arena, 1, n), *now = calloc(1, n), *then = malloc(n),
	     *got = malloc(n);

	DEMAND(p && now && then && got);
	for (unsigned round = 1; round <= ROUNDS; round++) {
		memcpy(then, now, n);
		cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);
		DEMAND(s != NULL);
		unsigned flags = round % 2 ? 0 : COWARENA_VIEW_PRIVATE;
		cowarena_view *view = views ? cowarena_view_open(s, flags) : NULL;
		DEMAND(view || !views);
		fill(p, now, n, round);
		DEMAND(memcmp(p, now, n) == 0);
		DEMAND(cowarena_snapshot_read(s, got, p, n) == 0 && memcmp(got, then, n) == 0);
		DEMAND(!view || memcmp(cowarena_view_at(view, p), then, n) == 0);
		DEMAND(!view || cowarena_view_close(view) == 0);
		if (round % 3 == 0) {
			DEMAND(cowarena_rollback(arena, s) == 0 && memcmp(p, then, n) == 0);
			memcpy(now, then, n);
		}
		DEMAND(cowarena_snapshot_release(s) == 0);
	}
	free(now), free(then), free(got);
	cowarena_free(arena, p);
}

/* ---- writers in program order, and the cut ---- */

#define WRITERS 3
#define CUTS 60

static struct {
	cowarena *arena;
	_Atomic bool stop;
	volatile uint64_t *counter[WRITERS][2]; /* on pages of their own */
} race;

/* The first counter is raised before the second one, always. */
static void *count_up(void *arg)
{
	volatile uint64_t **counter = arg;

	for (uint64_t i = 1; !atomic_load(&race.stop); i++) {
		__atomic_store_n(counter[0], i, __ATOMIC_RELEASE);
		__atomic_store_n(counter[1], i, __ATOMIC_RELEASE);
		void *p = cowarena_alloc(race.arena, 16 + i % 500);
		memset(p, 1, 16);
		cowarena_free(race.arena, p);
	}
	return NULL;
}

static void cuts(cowarena *arena)
{
	pthread_t thread[WRITERS];

	race.arena = arena;
	atomic_store(&race.stop, false);
	for (int i = 0; i < WRITERS; i++)
		for (int j = 0; j < 2; j++) {
			race.counter[i][j] =
			    cowarena_aligned_alloc(arena, os_page_size(), os_page_size());
			DEMAND(race.counter[i][j] != NULL);
			*race.counter[i][j] = 0;
		}
	for (int i = 0; i < WRITERS; i++)
		DEMAND(pthread_create(&thread[i], NULL, count_up, race.counter[i]) == 0);
	for (int cut = 0; cut < CUTS; cut++) {
		cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);
		DEMAND(s != NULL);
		for (int i = 0; i < WRITERS; i++) {
			uint64_t first, second;
			DEMAND(cowarena_snapshot_read(s, &first, (void *)race.counter[i][0], 8) ==
			       0);
			DEMAND(cowarena_snapshot_read(s, &second, (void *)race.counter[i][1], 8) ==
			       0);
			DEMAND(first == second || first == second + 1);
		}
		DEMAND(cowarena_snapshot_release(s) == 0);
	}
	atomic_store(&race.stop, true);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	DEMAND(cowarena_heap_check(arena, NULL) == 0);
}

/* ---- faults that are not ours ---- */

static void store(char *page, char *block)
{
	(void)block;
	*(volatile char *)page = 1;
}

static void jump(char *page, char *block)
{
	void (*code)(void);

	(void)page;
	memcpy(&code, &block, sizeof code);
	code();
}

/* A child dies of it, although it has an arena. */
static void dies(void (*wild)(char *page, char *block))
{
	char *page = mmap(NULL, os_page_size(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status;

	DEMAND(page != MAP_FAILED);
	fflush(stdout);
	pid_t pid = fork();
	DEMAND(pid >= 0);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		cowarena *arena = cowarena_create(NULL);
		char *block = arena ? cowarena_calloc(arena, 1, os_page_size()) : NULL;
		if (!block)
			_exit(1);
		wild(page, block);
		_exit(0);
	}
	DEMAND(waitpid(pid, &status, 0) == pid);
	DEMAND(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	munmap(page, os_page_size());
}

int main(void)
{
	static const struct {
		enum cowarena_engine engine;
		const char *name;
	} engines[] = {{COWARENA_ENGINE_SIGSEGV, "sigsegv"},
		       {COWARENA_ENGINE_EAGER, "eager"},
		       {COWARENA_ENGINE_UFFD, "uffd"},
		       {COWARENA_ENGINE_HYBRID, "hybrid"}};
	struct cowarena_options o = COWARENA_OPTIONS_INIT;

	printf("pages of %zu bytes, huge ones of %zu\n", os_page_size(), os_huge_page_size());
#if defined __SANITIZE_THREAD__ || __has_feature(thread_sanitizer)
	printf("left out: signal frames: ThreadSanitizer calls the handlers\n");
#else
	signal_frames();
#endif
	signals_that_were_sent();
	syndromes();
	bool views = has_whole_pages();
	if (!views)
		printf("left out: views: a page is copied in parts here\n");
	if (!os_barrier())
		printf("left out: membarrier(2) is not to be had here\n");
	o.flags = COWARENA_STRICT_ENGINE;
	o.capacity = (size_t)256 << 20;
	for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
		o.engine = engines[i].engine;
		cowarena *arena = cowarena_create(&o);
		if (!arena) {
			DEMAND(o.engine != COWARENA_ENGINE_SIGSEGV &&
			       o.engine != COWARENA_ENGINE_EAGER);
			printf("left out: engine %s: %s\n", engines[i].name, cowarena_errmsg());
			continue;
		}
		snapshots(arena, views);
		cuts(arena);
		DEMAND(cowarena_heap_check(arena, NULL) == 0);
		cowarena_destroy(arena);
		printf("engine %s: as it should be\n", engines[i].name);
	}
	dies(store);
	dies(jump);
	return 0;
}
