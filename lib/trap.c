/* SPDX-License-Identifier: BSD-2-Clause */
/* trap.c - see trap.h. */
#include "config.h"

#include "cowarena.h"
#include "error.h"
#include "handlers.h"
#include "os.h"
#include "point.h"
#include "records.h"
#include "sightings.h"
#include "trap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

/*
 * The registry of spans. It is global because a signal handler has nothing else to start from.
 * Slots come in blocks that are never freed, so a handler may read any slot at any time. A handler
 * that reads a slot while it is reused could see one span's begin with another's end; the sequence
 * number (odd while the slot changes) makes the handler look again.
 */
struct trap_span {
	_Atomic uint32_t sequence;
	_Atomic uintptr_t begin, end; /* both 0: free */
	void *_Atomic backend;
	_Atomic int which;      /* HANDLERS_BUS means SIGSEGV as well as SIGBUS */
	_Atomic bool inherited; /* in a child of fork(), which has the span but not the memory */
};

#define BLOCK_SPANS 64

struct block {
	struct trap_span span[BLOCK_SPANS];
	struct block *_Atomic next;
};

static struct block first_block;
/* How many spans want each signal. All want SIGSEGV: an access in a child of fork() raises it. */
static _Atomic size_t users[HANDLERS_SIGNALS];

/* Protects adding and removing, and the installed actions. Never taken by the handler. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Find the back end of the span that holds the address and whose faults arrive by that signal; NULL
   if there is none. */
static void *lookup(uintptr_t address, int which, bool inherited)
{
	for (struct block *b = &first_block; b; b = atomic_load(&b->next))
		for (size_t i = 0; i < BLOCK_SPANS; i++) {
			struct trap_span *s = &b->span[i];
			void *backend;
			bool hit;
			uint32_t before;
			do {
				before = atomic_load(&s->sequence);
				TEST_POINT();
				hit = address - atomic_load(&s->begin) <
				      atomic_load(&s->end) - atomic_load(&s->begin);
				hit = hit && atomic_load(&s->inherited) == inherited &&
				      (inherited || atomic_load(&s->which) >= which);
				backend = atomic_load(&s->backend);
			} while (before != atomic_load(&s->sequence));
			/* An odd number: the span is just being added or removed, nobody
			   faults in it. */
			if (hit && before % 2 == 0)
				return backend;
		}
	return NULL;
}

/* Resolve a write fault if it is ours; false if it is not. */
static bool deliver(int which, void *address, bool by_kernel)
{
	void *backend = lookup((uintptr_t)address, which, false);
	sigset_t signals;

	if (!backend)
		return false;
	/* When another handler has called ours, the mask is that handler's. */
	if (!by_kernel)
		os_block_every_signal(&signals);
	bool mended = trap_backend_deliver(backend, address);
	if (!by_kernel)
		os_restore_signals(&signals);
	return mended;
}

/* For handlers.h. */
static bool mend(int which, siginfo_t *info, void *context, bool by_kernel)
{
	int signo = which == HANDLERS_BUS ? SIGBUS : SIGSEGV;
	enum os_trap trap = os_trap_of(signo, info, context);

	if (trap == OS_TRAP_WRITE) {
		if (deliver(which, info->si_addr, by_kernel))
			return true;
		if (sightings_hold(info->si_addr))
			error_log("a read-only view of a snapshot was written to: open it with "
				  "COWARENA_VIEW_PRIVATE to write there");
		return false;
	}
	if (trap != OS_TRAP_UNMAPPED)
		return false;
	if (lookup((uintptr_t)info->si_addr, which, true))
		error_log(
		    "a child of fork() touched an arena, which is not inherited: call "
		    "cowarena_after_fork_in_child() there, or create it with COWARENA_FORK_COPY, "
		    "or take a snapshot instead of the fork");
	else if (sightings_hold(info->si_addr))
		error_log("a child of fork() touched a view, which is not inherited");
	return false;
}

static void before_fork(void)
{
	pthread_mutex_lock(&mutex);
}

static void after_fork_in_parent(void)
{
	pthread_mutex_unlock(&mutex);
}

/* The spans stay, for the message in mend(); but the child may get arenas of its own at the same
   addresses. */
static void after_fork_in_child(void)
{
	for (struct block *b = &first_block; b; b = atomic_load(&b->next))
		for (size_t i = 0; i < BLOCK_SPANS; i++)
			if (atomic_load(&b->span[i].end))
				atomic_store(&b->span[i].inherited, true);
	for (int i = 0; i < HANDLERS_SIGNALS; i++)
		atomic_store(&users[i], 0);
	pthread_mutex_unlock(&mutex);
}

/* Count a span out, or in: the last one to go removes the handlers, the first one installs them. */
static void leave(int which)
{
	for (int i = which; i >= HANDLERS_SEGV; i--)
		if (--users[i] == 0)
			handlers_remove(i);
}

static int enter(int which)
{
	for (int i = HANDLERS_SEGV; i <= which; i++) {
		if (!users[i] && handlers_install(i, mend)) {
			if (i > HANDLERS_SEGV)
				leave(i - 1);
			return -1;
		}
		users[i]++;
	}
	return 0;
}

static int prepare_fork(void)
{
	static bool prepared;

	if (!prepared && pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child))
		return error_set(ENOMEM, "no memory for the fork handlers");
	prepared = true;
	return 0;
}

static struct trap_span *free_span(void)
{
	struct block *b = &first_block;

	for (;; b = atomic_load(&b->next)) {
		for (size_t i = 0; i < BLOCK_SPANS; i++)
			if (!atomic_load(&b->span[i].end))
				return &b->span[i];
		if (!atomic_load(&b->next)) {
			struct block *more = records_take(sizeof *more);
			if (!more)
				return NULL;
			atomic_store(&b->next, more);
		}
	}
}

static void set_span(struct trap_span *s, void *base, size_t n, int which, void *backend)
{
	atomic_fetch_add(&s->sequence, 1);
	atomic_store(&s->backend, backend);
	atomic_store(&s->which, which);
	atomic_store(&s->inherited, false);
	atomic_store(&s->begin, (uintptr_t)base);
	atomic_store(&s->end, (uintptr_t)base + n);
	atomic_fetch_add(&s->sequence, 1);
}

struct trap_span *trap_add(void *base, size_t n, bool bus, trap_handler *handler,
			   struct cowarena *arena)
{
	int which = bus ? HANDLERS_BUS : HANDLERS_SEGV;
	struct trap_span *span = NULL;
	void *backend = trap_backend_open(base, n, handler, arena);

	if (!backend)
		return error_null(ENOMEM, "no memory for the trap's bookkeeping: " ERROR_NO_ROOM);
	pthread_mutex_lock(&mutex);
	if (prepare_fork() || enter(which))
		goto out;
	span = free_span();
	if (span) {
		set_span(span, base, n, which, backend);
	} else {
		error_set(ENOMEM, "no memory for the trap's bookkeeping: " ERROR_NO_ROOM);
		leave(which);
	}
out:
	pthread_mutex_unlock(&mutex);
	if (!span) {
		int e = errno;
		trap_backend_close(backend);
		errno = e;
	}
	return span;
}

void trap_remove(struct trap_span *span)
{
	pthread_mutex_lock(&mutex);
	void *backend = atomic_load(&span->backend);
	int which = atomic_load(&span->which);
	bool inherited = atomic_load(&span->inherited);
	set_span(span, NULL, 0, 0, NULL);
	if (!inherited)
		leave(which);
	pthread_mutex_unlock(&mutex);
	trap_backend_close(backend);
}

bool trap_inherited(const struct trap_span *span)
{
	return atomic_load(&span->inherited);
}

size_t trap_spans(void)
{
	size_t n = atomic_load_explicit(&users[HANDLERS_SEGV], memory_order_relaxed);

	return n ? n : 1;
}

/* ---- when another handler was installed over ours ---- */

static int check_signal(int which)
{
	return users[which] ? handlers_check(which) : 0;
}

static int reinstall_signal(int which)
{
	return users[which] ? handlers_install(which, mend) : 0;
}

static int for_each_signal(int (*fn)(int which))
{
	int result = 0;

	pthread_mutex_lock(&mutex);
	for (int i = 0; i < HANDLERS_SIGNALS && !result; i++)
		result = fn(i);
	pthread_mutex_unlock(&mutex);
	return result;
}

int cowarena_trap_check(void)
{
	return for_each_signal(check_signal);
}

int cowarena_trap_reinstall(void)
{
	return for_each_signal(reinstall_signal);
}
