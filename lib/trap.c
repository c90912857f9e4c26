/* SPDX-License-Identifier: BSD-2-Clause */
/* trap.c - see trap.h. */
#include "config.h"

#include "cowarena.h"
#include "error.h"
#include "os.h"
#include "point.h"
#include "trap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

/* mprotect faults arrive as SIGSEGV, userfaultfd's as SIGBUS. A span that wants the second gets both. */
enum { SEGV, BUS, SIGNALS };
static const struct {
	int signo, code; /* as a fault of ours has them */
} ours[SIGNALS] = {{SIGSEGV, SEGV_ACCERR}, {SIGBUS, BUS_ADRERR}};

/*
 * The registry of spans: the library's one piece of global mutable state, because a signal
 * handler has nothing else to start from. Slots come in blocks that are never freed, so a
 * handler may read any of them at any time. A slot that is reused while a handler reads it
 * would show it one span's begin with another's end; the sequence number (odd while the slot
 * changes) makes the handler look again.
 */
struct trap_span {
	_Atomic uint32_t sequence;
	_Atomic uintptr_t begin, end; /* both 0: free */
	void *_Atomic backend;
	_Atomic int which;      /* the last of the signals that its faults arrive by */
	_Atomic bool inherited; /* we are a child of fork(): it has the span, but not the memory */
};

#define BLOCK_SPANS 64

struct block {
	struct trap_span span[BLOCK_SPANS];
	struct block *_Atomic next;
};

static struct block first_block;
/* How many spans want each signal: all of them SIGSEGV, by which a child of fork() is told. */
static _Atomic size_t users[SIGNALS];

/* Protects adding and removing, and the installed action. Never taken by the handler. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/*
 * To whom a fault goes that is not ours. The first is who had the signal before us; each further one had
 * installed its handler over ours, and trap_reinstall() has put ours in front again. An entry is written
 * before it is counted, and never changed while it is.
 */
#define LEVELS 8
static struct chain {
	struct previous {
		struct sigaction action;
		_Atomic bool spent; /* it was SA_RESETHAND, and has had its one call */
	} level[LEVELS];
	_Atomic int levels; /* 0: our handler is not installed */
} chains[SIGNALS];

/*
 * A handler above us may call ours as the one that it found: then the fault goes on to the level below,
 * and not to that handler again, for ever. So the level that a signal has come to is noted with the signal,
 * at the end of its siginfo, which the kernel clears at each delivery (Linux, copy_siginfo_to_user) and
 * nothing else uses. In a variable it would be left behind when a handler leaves by siglongjmp(). Each
 * copy of the library in the process has a mark of its own.
 */
#define MARKS 8
struct mark {
	uint32_t owner, level; /* owner 0: free */
};
_Static_assert(sizeof(siginfo_t) >= 48 + MARKS * sizeof(struct mark),
	       "a siginfo has room behind what the kernel uses");

/* Find the span of an address, whose faults arrive by that signal: its back end, or NULL. */
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

/* Back to the default, which kills; and a signal that was sent is sent again: blocked now, it is delivered
   as we return. An instruction faults again, and the kernel kills the process with the right signal,
   address and core. (It does so for an ignored fault too.) */
static void give_up(int signo, siginfo_t *info, bool sent)
{
	sigaction(signo, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	if (sent) {
		/* With a code that it does not know the kernel wants nothing there. */
		memset((char *)info + sizeof *info - MARKS * sizeof(struct mark), 0,
		       MARKS * sizeof(struct mark));
		os_resend_signal(signo, info);
	}
}

static void call(const struct sigaction *action, int signo, siginfo_t *info, void *context)
{
	/* The signals that the handler would find blocked. The kernel's mask is shorter than
	   the C library's type, so only that much of the context may be read. */
	ucontext_t *uc = context;
	sigset_t mask, interrupted;

	sigemptyset(&interrupted);
	memcpy(&interrupted, &uc->uc_sigmask, _NSIG / 8);
	sigorset(&mask, &interrupted, &action->sa_mask);
	if (!(action->sa_flags & SA_NODEFER))
		sigaddset(&mask, signo);
	os_restore_signals(&mask);
	if (action->sa_flags & SA_SIGINFO)
		action->sa_sigaction(signo, info, context);
	else
		action->sa_handler(signo);
	/* Returning restores the interrupted mask. */
}

/* A fault that is not ours: do what would have happened without us (I5). */
static void pass_on(int which, int level, siginfo_t *info, void *context)
{
	struct previous *p = &chains[which].level[level];
	const struct sigaction *action = &p->action;
	bool sent = info->si_code <= 0; /* by kill, raise, sigqueue: no instruction to run again */
	bool spent = action->sa_flags & SA_RESETHAND && atomic_exchange(&p->spent, true);

	if (action->sa_handler == SIG_IGN && sent)
		return;
	if (spent || action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN) {
		give_up(ours[which].signo, info, sent);
		return;
	}
	call(action, ours[which].signo, info, context);
}

/* Where the chain begins, or goes on. */
static int next_level(int which, siginfo_t *info)
{
	struct mark marks[MARKS];
	char *at = (char *)info + sizeof *info - sizeof marks;
	uint32_t me = (uint32_t)((uintptr_t)chains >> 4) | 1;
	uint32_t levels = (uint32_t)atomic_load(&chains[which].levels);
	int i = 0;

	memcpy(marks, at, sizeof marks);
	while (i < MARKS && marks[i].owner && marks[i].owner != me)
		i++;
	if (i == MARKS)
		return 0;
	if (marks[i].owner)
		marks[i].level -= marks[i].level > 0;
	else
		marks[i] = (struct mark){me, levels > 0 ? levels - 1 : 0};
	memcpy(at, marks, sizeof marks);
	return (int)marks[i].level;
}

/* Whether a write fault was ours, and is mended. */
static bool deliver(int which, void *address, bool by_kernel)
{
	void *backend = lookup((uintptr_t)address, which, false);
	sigset_t signals;

	if (!backend)
		return false;
	/* Another handler's mask is not ours (install). */
	if (!by_kernel)
		os_block_every_signal(&signals);
	bool mended = trap_backend_deliver(backend, address);
	if (!by_kernel)
		os_restore_signals(&signals);
	return mended;
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
	int e = errno;
	int which = signo == SIGBUS ? BUS : SEGV;
	bool by_kernel = os_called_by_kernel(__builtin_dwarf_cfa(), info, context);

	if (info->si_code == ours[which].code && os_fault_was_write(context)) {
		if (deliver(which, info->si_addr, by_kernel)) {
			errno = e;
			return;
		}
	} else if (which == SEGV && info->si_code == SEGV_MAPERR &&
		   lookup((uintptr_t)info->si_addr, which, true)) {
		error_log(
		    "a child of fork() touched an arena, which is not inherited: call "
		    "cowarena_after_fork_in_child() there, or create it with COWARENA_FORK_COPY, "
		    "or take a snapshot instead of the fork");
	}
	errno = e;
	pass_on(which, next_level(which, info), info, context);
	errno = e;
}

static void before_fork(void)
{
	pthread_mutex_lock(&mutex);
}

static void after_fork_in_parent(void)
{
	pthread_mutex_unlock(&mutex);
}

/* The spans stay, for the message; but the child may get arenas of its own at the same
   addresses. */
static void after_fork_in_child(void)
{
	for (struct block *b = &first_block; b; b = atomic_load(&b->next))
		for (size_t i = 0; i < BLOCK_SPANS; i++)
			if (atomic_load(&b->span[i].end))
				atomic_store(&b->span[i].inherited, true);
	for (int i = 0; i < SIGNALS; i++)
		atomic_store(&users[i], 0);
	pthread_mutex_unlock(&mutex);
}

static bool is_ours(const struct sigaction *action)
{
	return action->sa_flags & SA_SIGINFO && action->sa_sigaction == on_signal;
}

static int not_accepted(int signo)
{
	return error_set(
	    EPERM,
	    "the handler for signal %d was not accepted: if this is a sanitizer, set "
	    "handle_segv=0, handle_sigbus=0 and allow_user_segv_handler=1 in its options",
	    signo);
}

/* Put our handler in front of `now`, which becomes the last level. */
static int take_signal(int which, int levels, const struct sigaction *now)
{
	struct sigaction mine = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct chain *chain = &chains[which];
	int signo = ours[which].signo;
	struct sigaction got;

	/* Nothing may interrupt the handler: a signal handler of the application that writes to the
	   arena would wait for the page that is locked below it. */
	memset(&mine.sa_mask, 0xff,
	       sizeof mine.sa_mask); /* pthread_cancel's too, unlike sigfillset */
	chain->level[levels].action = *now;
	atomic_store(&chain->level[levels].spent, false);
	atomic_store(&chain->levels, levels + 1);
	bool placed = sigaction(signo, &mine, NULL) == 0;
	if (placed && sigaction(signo, NULL, &got) == 0 && is_ours(&got))
		return 0;
	/* If it cannot be taken back, it is still there. */
	if (!placed || sigaction(signo, now, NULL) == 0)
		atomic_store(&chain->levels, levels);
	return not_accepted(signo);
}

/* Make our handler the one that is called first, if it is not. */
static int install(int which)
{
	struct chain *chain = &chains[which];
	int levels = atomic_load(&chain->levels);
	struct sigaction now;

	if (sigaction(ours[which].signo, NULL, &now))
		return not_accepted(ours[which].signo);
	/* (Without an arena, too: where it could not be removed.) */
	if (is_ours(&now))
		return 0;
	/* A mere reset calls nobody. One that we pass faults on to already is not another. */
	if (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN)
		levels = 0;
	else if (levels && chain->level[levels - 1].action.sa_handler == now.sa_handler)
		levels--;
	else if (!users[which]) /* nor is one further down, where there was no arena meanwhile */
		for (int i = 0; i < levels; i++)
			if (chain->level[i].action.sa_handler == now.sa_handler)
				levels = i;
	if (levels == LEVELS)
		return error_set(
		    EAGAIN,
		    "%d handlers for signal %d have been installed over the library's: install "
		    "them before the first arena is created",
		    LEVELS - 1, ours[which].signo);
	return take_signal(which, levels, &now);
}

static void uninstall(int which)
{
	struct chain *chain = &chains[which];
	int levels = atomic_load(&chain->levels), signo = ours[which].signo;
	struct sigaction now;

	/* If somebody installed over us, they may call us as their previous handler: stay. */
	if (!levels || sigaction(signo, NULL, &now) || !is_ours(&now))
		return;
	struct previous *p = &chain->level[levels - 1];
	struct sigaction last = p->action;
	if (atomic_load(&p->spent))
		last.sa_handler = SIG_DFL;
	/* The others may be called yet: by this one, by way of us. (A fault in between reaches it twice:
	   the other way round it would not reach it at all.) */
	if (sigaction(signo, &last, NULL) == 0)
		atomic_store(&chain->levels, levels - 1);
}

/* Count a span out, or in: the last one to go removes the handlers, the first one installs them. */
static void leave(int which)
{
	for (int i = which; i >= SEGV; i--)
		if (--users[i] == 0)
			uninstall(i);
}

static int enter(int which)
{
	for (int i = SEGV; i <= which; i++) {
		if (!users[i] && install(i)) {
			if (i > SEGV)
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
			struct block *more = calloc(1, sizeof *more);
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
	int which = bus ? BUS : SEGV;
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
	size_t n = atomic_load_explicit(&users[SEGV], memory_order_relaxed);

	return n ? n : 1;
}

/* ---- when another handler was installed over ours ---- */

static int check_signal(int which)
{
	struct sigaction now;

	if (!users[which] || (sigaction(ours[which].signo, NULL, &now) == 0 && is_ours(&now)))
		return 0;
	return error_set(EBUSY,
			 "signal %d has another handler now, installed over the library's: writes "
			 "to arenas will fail unless it passes on what is not its own; install it "
			 "before the first arena is created, or call cowarena_trap_reinstall()",
			 ours[which].signo);
}

static int reinstall_signal(int which)
{
	return users[which] ? install(which) : 0;
}

static int for_each_signal(int (*fn)(int which))
{
	int result = 0;

	pthread_mutex_lock(&mutex);
	for (int i = 0; i < SIGNALS && !result; i++)
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
