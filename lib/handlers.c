/* SPDX-License-Identifier: BSD-2-Clause */
/* handlers.c - see handlers.h. */
#include "config.h"

#include "error.h"
#include "handlers.h"
#include "os.h"

#include <errno.h>
#include <stdatomic.h>

static const struct {
	int signo;
	const char *name;
} signals[HANDLERS_SIGNALS] = {{SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}};

#define LEVELS 16
#define NONE (-1)

/*
 * Signal handlers read levels while other threads change them. A level's action is written while
 * `skipped` keeps handlers away from it, and does not change while a handler is likely to use it.
 */
struct level {
	struct sigaction action; /* the displaced action, which gets faults that are not ours */
	_Atomic int below;       /* the level to go on with when this one is skipped, or NONE */
	_Atomic bool spent;      /* the action was SA_RESETHAND, and has had its one call */
	_Atomic bool skipped;    /* the handler was installed again, over a later level */
	_Atomic bool withdrawn;  /* the action is restored: nobody is in front of this level */
	bool shared;             /* a handler other than the action's was installed over it */
	bool direct;             /* installed by system call: sigaction(3) is not the C library's */
	unsigned age;            /* when it was installed; 0: never */
};

static struct chain {
	struct level level[LEVELS];
	int front; /* the last level that is known to have been in front */
	unsigned age;
} chains[HANDLERS_SIGNALS] = {{.front = NONE}, {.front = NONE}};

static handlers_mend *_Atomic mend;

static bool calls_nobody(const struct sigaction *action)
{
	return action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN;
}

/* ---- passing on ---- */

/*
 * One call of another handler by a level, on the stack of the level's handler. A handler that was
 * installed twice, around a level, would come back to that level for ever. So the calls of one
 * delivery are linked, from a field of its context that the kernel clears and nobody uses (K5). A
 * handler that leaves by siglongjmp() leaves nothing behind: the next delivery has another context.
 * (A thread-local variable would have to be reset.)
 */
struct passage {
	const struct chain *owner; /* there may be several copies of the library */
	uint32_t passed;           /* a bit for each level that has passed the signal on */
	struct passage *outer;
};
_Static_assert(LEVELS <= 32, "a passage has a bit for each level");

/* Accept only addresses where this delivery's frames are: others might use the field after all. */
static bool is_passage(const struct passage *p, const void *context)
{
	uintptr_t at = (uintptr_t)p, here = (uintptr_t)__builtin_frame_address(0);

	return at > here && at < (uintptr_t)context && at % _Alignof(struct passage) == 0;
}

static uint32_t passed_by(const struct chain *chain, void *context)
{
	const struct passage *p = *os_context_note(context);

	while (is_passage(p, context) && p->owner != chain && p->outer > p)
		p = p->outer;
	return is_passage(p, context) && p->owner == chain ? p->passed : 0;
}

/* The level, from k on, whose action gets the signal. One whose action is `caller` is passed
   over. */
static int next_level(struct chain *chain, int k, uint32_t passed, void (*caller)(int))
{
	while (k != NONE && (atomic_load(&chain->level[k].skipped) || passed >> k & 1 ||
			     (caller && chain->level[k].action.sa_handler == caller)))
		k = atomic_load(&chain->level[k].below);
	return k;
}

static void call(const struct sigaction *action, int signo, siginfo_t *info, void *context)
{
	sigset_t mask, interrupted;

	/* Block what the handler would find blocked if the kernel called it. */
	os_context_signals(context, &interrupted);
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

/*
 * The passage must be on the stack. (AddressSanitizer may move local variables elsewhere, to detect
 * their use after return.)
 */
__attribute__((no_sanitize("address"), noinline)) static void
call_by(struct chain *chain, int k, uint32_t passed, siginfo_t *info, void *context)
{
	void **note = os_context_note(context);
	struct passage here = {chain, passed | 1u << k, *note};

	*note = &here;
	call(&chain->level[k].action, signals[chain - chains].signo, info, context);
	*note = here.outer;
}

/*
 * Restore the default action, which kills. A signal that was sent is sent again: it is blocked now,
 * and delivered as we return. An instruction faults again, and the kernel kills the process with
 * the right signal, address and core. (The kernel does so for an ignored fault too.)
 */
static void give_up(int signo, siginfo_t *info, bool sent)
{
	os_action_set(signo, &(struct sigaction){.sa_handler = SIG_DFL});
	if (sent)
		os_resend_signal(signo, info);
}

static struct sigaction our_action(int k);

/*
 * Handlers in the System V style install themselves again when they are called. Without the library
 * that would change nothing: so level k, which was in front before, is put in front again.
 */
static void stay_in_front(struct chain *chain, int k, struct level *called)
{
	int signo = signals[chain - chains].signo;
	struct sigaction now, mine = our_action(k);

	if (os_action_get(signo, &now) == 0 && now.sa_handler == called->action.sa_handler &&
	    !atomic_load(&chain->level[k].withdrawn) && os_action_set(signo, &mine) == 0)
		atomic_store(&called->spent, false);
}

/* The handler that called a level's handler, if it is installed now; else NULL. */
static void (*caller_of(int signo, bool by_kernel))(int)
{
	struct sigaction now;

	return !by_kernel && os_action_get(signo, &now) == 0 ? now.sa_handler : NULL;
}

/* A fault that is not ours has come to level k: do what would have happened without us (I5). */
static void pass_on(struct chain *chain, int k, siginfo_t *info, void *context, bool by_kernel)
{
	int signo = signals[chain - chains].signo;
	bool sent = os_signal_was_sent(info);
	uint32_t passed = passed_by(chain, context);
	int next = next_level(chain, k, passed, caller_of(signo, by_kernel));
	struct level *l = next == NONE ? NULL : &chain->level[next];

	if (!l || (l->action.sa_flags & SA_RESETHAND && atomic_exchange(&l->spent, true))) {
		give_up(signo, info, sent);
	} else if (calls_nobody(&l->action)) {
		if (!sent || l->action.sa_handler == SIG_DFL)
			give_up(signo, info, sent);
	} else {
		call_by(chain, next, passed, info, context);
		if (by_kernel)
			stay_in_front(chain, k, l);
	}
}

/* ---- the levels' handlers ---- */

static inline __attribute__((always_inline)) void on_signal(int k, int signo, siginfo_t *info,
							    void *context, bool by_kernel)
{
	int e = errno;
	int which = signo == SIGBUS ? HANDLERS_BUS : HANDLERS_SEGV;
	bool mended = atomic_load(&mend)(which, info, context, by_kernel);

	errno = e;
	if (!mended)
		pass_on(&chains[which], k, info, context, by_kernel);
	errno = e;
}

#define EACH_LEVEL(X)                                                                              \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

#define HANDLER(k)                                                                                 \
	static void on_signal_##k(int signo, siginfo_t *info, void *context)                       \
	{                                                                                          \
		on_signal(k, signo, info, context,                                                 \
			  os_called_by_kernel(__builtin_dwarf_cfa(), info, context));              \
	}
EACH_LEVEL(HANDLER)

#define NAME(k) on_signal_##k,
static void (*const handlers[LEVELS])(int, siginfo_t *, void *) = {EACH_LEVEL(NAME)};

static struct sigaction our_action(int k)
{
	struct sigaction a = {.sa_sigaction = handlers[k], .sa_flags = SA_SIGINFO | SA_ONSTACK};

	/* Nothing may interrupt the handler. A signal handler of the application that writes to the
	   arena would wait for the page that the interrupted handler has locked; a thread cancelled
	   there would leave the page locked. */
	os_every_signal(&a.sa_mask);
	return a;
}

static int level_of(const struct sigaction *action)
{
	for (int k = 0; k < LEVELS; k++)
		if (action->sa_flags & SA_SIGINFO && action->sa_sigaction == handlers[k])
			return k;
	return NONE;
}

/* ---- choosing a level ---- */

static bool same_handler(const struct level *l, const struct sigaction *now)
{
	return l->age && l->action.sa_handler == now->sa_handler;
}

static bool same_action(const struct level *l, const struct sigaction *now)
{
	return same_handler(l, now) && l->action.sa_flags == now->sa_flags &&
	       os_same_signals(&l->action.sa_mask, &now->sa_mask);
}

/*
 * The handler in front now may be the action of earlier levels too. It may have saved one of these
 * levels as its previous action, or a handler that it calls may have: they must not lead to it any
 * more. But where the library has restored the handler itself, the handler has found no level
 * since, and its level is as good as before.
 */
static int level_of_before(struct chain *chain, const struct sigaction *now)
{
	int found = NONE;

	for (int k = 0; k < LEVELS; k++) {
		struct level *l = &chain->level[k];
		if (!same_handler(l, now) || atomic_load(&l->skipped))
			continue;
		if (calls_nobody(now) ||
		    (atomic_load(&l->withdrawn) && !l->shared && same_action(l, now)))
			found = k;
		else
			atomic_store(&l->skipped, true);
	}
	return found;
}

/*
 * A handler that is installed again and again leaves levels behind that no other handler has found.
 * It holds the oldest of these levels, or the one that it was just installed over: the others are
 * free.
 */
static int level_between(struct chain *chain, const struct sigaction *now)
{
	unsigned first = ~0u;

	for (int k = 0; k < LEVELS; k++)
		if (same_handler(&chain->level[k], now) && chain->level[k].age < first)
			first = chain->level[k].age;
	for (int k = 0; k < LEVELS; k++) {
		const struct level *l = &chain->level[k];
		if (same_handler(l, now) && !l->shared && l->age > first && k != chain->front)
			return k;
	}
	return NONE;
}

/* A level that was never used, or else the oldest withdrawn one that no other handler has found. */
static int free_level(struct chain *chain)
{
	int found = NONE;

	for (int k = 0; k < LEVELS; k++) {
		const struct level *l = &chain->level[k];
		if (l->age && (l->shared || !atomic_load(&l->withdrawn)))
			continue;
		if (found == NONE || l->age < chain->level[found].age)
			found = k;
	}
	return found;
}

static void set_level(struct chain *chain, int k, const struct sigaction *now)
{
	struct level *l = &chain->level[k];

	atomic_store(&l->skipped, true);
	for (int i = 0; l->age && i < LEVELS; i++)
		if (chain->level[i].age && atomic_load(&chain->level[i].below) == k)
			atomic_store(&chain->level[i].below, atomic_load(&l->below));
	if (chain->front == k)
		chain->front = atomic_load(&l->below);
	l->shared = l->shared && same_handler(l, now);
	l->action = *now;
	atomic_store(&l->below,
		     calls_nobody(now) ? NONE : next_level(chain, chain->front, 0, NULL));
	atomic_store(&l->skipped, false);
}

/* The level that is to be in front of `now`; NONE if there are too many. */
static int level_for(struct chain *chain, const struct sigaction *now)
{
	struct level *front = chain->front == NONE ? NULL : &chain->level[chain->front];

	if (front && !calls_nobody(now) && !same_handler(front, now))
		front->shared = true;
	int k = level_of_before(chain, now);
	if (k != NONE && calls_nobody(now))
		return k;
	if (k == NONE)
		k = level_between(chain, now);
	if (k == NONE)
		k = free_level(chain);
	if (k != NONE)
		set_level(chain, k, now);
	return k;
}

/* ---- installing ---- */

static int refused(int which)
{
	return error_set(EPERM,
			 "the handler for %s was not accepted: if this is a sanitizer, set "
			 "handle_segv=0, handle_sigbus=0 and allow_user_segv_handler=1 in its "
			 "options; if a sandbox (seccomp, the profile of a container) refuses "
			 "rt_sigaction(2), allow it there",
			 signals[which].name);
}

static int not_to_be_had(int which)
{
	return error_set(EPERM,
			 "the handler for %s was not installed: sigaction() is not the C "
			 "library's, but that of a preloaded library (libjsig.so?) which keeps it "
			 "to itself, and rt_sigaction(2) is refused",
			 signals[which].name);
}

static bool in_kernel(int signo, void (*handler)(int))
{
	struct sigaction now;

	return os_action_get(signo, &now) == 0 && now.sa_handler == handler;
}

/*
 * Install by sigaction(3), which may belong to a preloaded library, as long as it reports what the
 * kernel has; otherwise by system call. Returns what handlers_install() does.
 */
static int place(int which, struct level *l, const struct sigaction *now,
		 const struct sigaction *mine)
{
	int signo = signals[which].signo;
	struct sigaction told, got;

	if (sigaction(signo, NULL, &told))
		return refused(which);
	if (told.sa_handler == now->sa_handler) {
		l->direct = false;
		if (sigaction(signo, mine, NULL) || sigaction(signo, NULL, &got) ||
		    got.sa_handler != mine->sa_handler)
			return refused(which);
		if (in_kernel(signo, mine->sa_handler))
			return 0;
		sigaction(signo, &told, NULL); /* it has noted ours, and would call it twice */
	}
	l->direct = true;
	if (os_action_set(signo, mine) == 0 && in_kernel(signo, mine->sa_handler))
		return 0;
	return not_to_be_had(which);
}

/* Level k is in front again: whatever was put in front of it since has left. */
static void found_in_front(struct chain *chain, int k)
{
	for (int i = 0; i < LEVELS; i++) {
		int at = chain->level[i].age ? atomic_load(&chain->level[i].below) : NONE;
		while (at != NONE && at != k)
			at = atomic_load(&chain->level[at].below);
		if (at == k)
			atomic_store(&chain->level[i].withdrawn, true);
	}
	/* The only handler that had found this level has restored it. */
	if (chain->front != NONE && atomic_load(&chain->level[chain->front].below) == k &&
	    !chain->level[chain->front].shared)
		chain->level[k].shared = false;
	chain->front = k;
}

static int install_over(int which, const struct sigaction *now)
{
	struct chain *chain = &chains[which];
	int k = level_for(chain, now);

	if (k == NONE)
		return error_set(EAGAIN,
				 "%d handlers for %s have been installed over the library's: "
				 "install them before the first arena is created",
				 LEVELS - 1, signals[which].name);
	struct level *l = &chain->level[k];
	struct sigaction mine = our_action(k);
	atomic_store(&l->spent, false);
	l->age = ++chain->age;
	int result = place(which, l, now, &mine);
	atomic_store(&l->withdrawn, result != 0);
	if (result == 0)
		chain->front = k;
	return result;
}

int handlers_install(int which, handlers_mend *mend_faults)
{
	struct sigaction now;

	if (os_action_get(signals[which].signo, &now))
		return refused(which);
	atomic_store(&mend, mend_faults);
	int k = level_of(&now);
	if (k == NONE)
		return install_over(which, &now);
	/* (This happens without an arena too, where the handler could not be removed.) */
	found_in_front(&chains[which], k);
	atomic_store(&chains[which].level[k].withdrawn, false);
	return 0;
}

static bool put_back(int signo, const struct sigaction *action, bool direct)
{
	if (!direct && sigaction(signo, action, NULL) == 0 && in_kernel(signo, action->sa_handler))
		return true;
	return os_action_set(signo, action) == 0;
}

void handlers_remove(int which)
{
	struct chain *chain = &chains[which];
	struct sigaction now, last = {.sa_handler = SIG_DFL};

	/* A handler installed over ours may call ours as its previous handler: ours stays. */
	if (os_action_get(signals[which].signo, &now))
		return;
	int k = level_of(&now);
	if (k == NONE)
		return;
	int next = next_level(chain, k, 0, NULL);
	if (next != NONE && !atomic_load(&chain->level[next].spent))
		last = chain->level[next].action;
	if (!put_back(signals[which].signo, &last, chain->level[k].direct))
		return;
	found_in_front(chain, k);
	atomic_store(&chain->level[k].withdrawn, true);
	if (next != NONE) {
		atomic_store(&chain->level[next].withdrawn, true);
		next = atomic_load(&chain->level[next].below);
	}
	chain->front = next;
}

int handlers_check(int which)
{
	struct sigaction now, told;
	int signo = signals[which].signo;

	if (os_action_get(signo, &now) == 0 && level_of(&now) != NONE)
		return 0;
	if (sigaction(signo, NULL, &told) == 0 && level_of(&told) != NONE)
		return error_set(EBUSY,
				 "%s has another handler in the kernel, and sigaction() does not "
				 "tell: it is that of a preloaded library (libjsig.so?). Call "
				 "cowarena_trap_reinstall(), which asks the kernel",
				 signals[which].name);
	return error_set(EBUSY,
			 "%s has another handler now, installed over the library's: writes to "
			 "arenas will fail unless it passes on what is not its own; install it "
			 "before the first arena is created, or call cowarena_trap_reinstall()",
			 signals[which].name);
}
