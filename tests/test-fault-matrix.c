/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-fault-matrix.c - each kind of fault that is not ours, with each kind of handler for it (I5).
 *
 * Each cell of the matrix is a child process, whose status is compared with a table. Where it dies,
 * it dies a second time under ptrace(2), to see what a debugger or a core file would show. With
 * COWARENA_MATRIX=FILE in the environment, the expected and the actual results are appended to
 * FILE, as rows of a table.
 */
#include "config.h"

#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGES 16
#define ROUNDS 3             /* how often a cell that survives has its event */
#define NEAR ((size_t)65536) /* a stack overflow is met this close to the last frame */

/* How the children end that find something wrong. */
enum {
	BAD_SETUP = 80,
	BAD_SIGNO,
	BAD_CODE,
	BAD_ADDRESS,
	BAD_SENDER,
	BAD_CONTEXT,
	BAD_COUNTER, /* of the program counter */
	BAD_CALLS,
	BAD_MASK,
	BAD_ERRNO,
	BAD_COPY, /* copy-on-write does not work any more */
	BAD_RESULT,
	NO_FAULT,
	NO_TRACE,
};

/* ---- events: each in a section of its own, so that the program counter can be told ---- */

#define EVENT(name)                                                                                \
	extern const char __start_event_##name[] __attribute__((visibility("hidden")));            \
	extern const char __stop_event_##name[] __attribute__((visibility("hidden")));             \
	__attribute__((noinline, section("event_" #name))) static void name(char *at)
#define TEXT(name) __start_event_##name, __stop_event_##name

/* What a child tells, even if it dies. */
struct seen {
	volatile int calls;         /* of the user's handler */
	volatile int rounds;        /* that it has survived */
	volatile uintptr_t address; /* where the event is */
	volatile uintptr_t deepest; /* the last frame before the stack overflowed */
	volatile size_t share;      /* of our handler, in bytes of the alternate stack */
	char engine[16];
};
static struct seen *seen;

EVENT(null_store)
{
	*(volatile char *)at = 1;
}

EVENT(none_store)
{
	*(volatile char *)at = 1;
}

EVENT(high_store)
{
	*(volatile char *)at = 1;
}

EVENT(bus_store)
{
	*(volatile char *)at = 1;
}

EVENT(execute)
{
	void (*code)(void);

	memcpy(&code, &at, sizeof code);
	code();
}

/* The signal is delivered before the system call returns, so in here. */
static inline __attribute__((always_inline)) void send_to_self(int signo)
{
#ifdef __x86_64__
	long result, pid = getpid();
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"((long)SYS_kill), "D"(pid), "S"((long)signo)
			 : "rcx", "r11", "memory");
#else
	kill(getpid(), signo);
#endif
}

EVENT(kill_segv)
{
	(void)at;
	send_to_self(SIGSEGV);
}

EVENT(kill_bus)
{
	(void)at;
	send_to_self(SIGBUS);
}

static void raise_segv(char *at)
{
	(void)at;
	raise(SIGSEGV);
}

static void (*volatile again)(char *);

EVENT(overflow)
{
	volatile char frame[1024];

	frame[0] = 1;
	seen->deepest = (uintptr_t)frame;
	again(at);
	frame[1] = frame[0];
}

enum event {
	NULL_STORE,
	NONE,
	EXECUTE,
	KILL,
	RAISE,
	OVERFLOW,
	NOT_CANONICAL,
	BUS,
	KILL_BUS,
	EVENTS
};

static const struct {
	const char *name;
	void (*cause)(char *);
	int signo, code;
	const char *text, *end; /* where the program counter is then; NULL: not known */
} events[EVENTS] = {
    [NULL_STORE] = {"store to NULL", null_store, SIGSEGV, SEGV_MAPERR, TEXT(null_store)},
    [NONE] = {"store to PROT_NONE memory", none_store, SIGSEGV, SEGV_ACCERR, TEXT(none_store)},
    [EXECUTE] = {"execute a data page", execute, SIGSEGV, SEGV_ACCERR, NULL, NULL},
    [KILL] = {"kill(SIGSEGV)", kill_segv, SIGSEGV, SI_USER, TEXT(kill_segv)},
    [RAISE] = {"raise(SIGSEGV)", raise_segv, SIGSEGV, SI_TKILL, NULL, NULL},
    [OVERFLOW] = {"stack overflow", overflow, SIGSEGV, SEGV_MAPERR, TEXT(overflow)},
    [NOT_CANONICAL] = {"store to 2^63", high_store, SIGSEGV, SI_KERNEL, TEXT(high_store)},
    [BUS] = {"store behind a file's end", bus_store, SIGBUS, BUS_ADRERR, TEXT(bus_store)},
    [KILL_BUS] = {"kill(SIGBUS)", kill_bus, SIGBUS, SI_USER, TEXT(kill_bus)},
};

/* ---- handlers ---- */

enum handler { DEFAULT, BEFORE, AFTER, PASSING, IGNORE, SIGINFO, ONCE, HANDLERS };

static const char *const handler_names[HANDLERS] = {
    [DEFAULT] = "none",
    [BEFORE] = "before us",
    [AFTER] = "over ours, keeps its own",
    [PASSING] = "over ours, passes all on",
    [IGNORE] = "SIG_IGN",
    [SIGINFO] = "before us, SA_SIGINFO",
    [ONCE] = "before us, SA_RESETHAND",
};

/* 0: the child exits with 0, after all its rounds; else the signal that kills it. */
/* clang-format off */
static const int wanted[EVENTS][HANDLERS] = {
	/*               none     before after passing  ignored  siginfo once */
	[NULL_STORE] = { SIGSEGV, 0,     0,    SIGSEGV, SIGSEGV, 0,      SIGSEGV },
	[NONE] =       { SIGSEGV, 0,     0,    SIGSEGV, SIGSEGV, 0,      SIGSEGV },
	[EXECUTE] =    { SIGSEGV, 0,     0,    SIGSEGV, SIGSEGV, 0,      SIGSEGV },
	[KILL] =       { SIGSEGV, 0,     0,    SIGSEGV, 0,       0,      SIGSEGV },
	[RAISE] =      { SIGSEGV, 0,     0,    SIGSEGV, 0,       0,      SIGSEGV },
	[OVERFLOW] =   { SIGSEGV, 0,     0,    SIGSEGV, SIGSEGV, 0,      SIGSEGV },
	[NOT_CANONICAL] = { SIGSEGV, 0,  0,    SIGSEGV, SIGSEGV, 0,      SIGSEGV },
	[BUS] =        { SIGBUS,  0,     0,    SIGBUS,  SIGBUS,  0,      SIGBUS  },
	[KILL_BUS] =   { SIGBUS,  0,     0,    SIGBUS,  0,       0,      SIGBUS  },
};
/* clang-format on */

static const int engines[] = {CASE_DEFAULT, CASE_UFFD, CASE_HYBRID};
#define ENGINES (int)(sizeof engines / sizeof *engines)

/* One child. */
struct trial {
	enum event event;
	enum handler handler;
	int engine; /* arena_case() */
};

static const struct trial *trial;
static cowarena *arena;
static char *heap;
static struct sigaction previous; /* what AFTER and PASSING have found */
static sigjmp_buf way_out;

static bool was_sent(enum event event)
{
	return events[event].code <= 0;
}

static bool address_is_right(uintptr_t address)
{
	if (trial->event == OVERFLOW)
		return address - seen->deepest + NEAR < 2 * NEAR;
	/* Not in the page tables' reach: the processor does not tell the address. */
	return address == (trial->event == NOT_CANONICAL ? 0 : seen->address);
}

/* (Where the program counter is not looked at, nobody asks.) */
__attribute__((unused)) static bool counter_is_right(uintptr_t at)
{
	if (trial->event == EXECUTE)
		return at == seen->address;
	return !events[trial->event].text || (at >= (uintptr_t)events[trial->event].text &&
					      at <= (uintptr_t)events[trial->event].end);
}

/* What is wrong with a siginfo; 0 for nothing. */
static int wrong_siginfo(const siginfo_t *info, pid_t pid)
{
	if (info->si_signo != events[trial->event].signo)
		return BAD_SIGNO;
	if (info->si_code != events[trial->event].code)
		return BAD_CODE;
	if (was_sent(trial->event))
		return info->si_pid == pid && info->si_uid == getuid() ? 0 : BAD_SENDER;
	return address_is_right((uintptr_t)info->si_addr) ? 0 : BAD_ADDRESS;
}

static void check_siginfo(int signo, const siginfo_t *info, const void *context)
{
	int wrong = wrong_siginfo(info, getpid());

	if (wrong)
		_exit(wrong);
	if (signo != info->si_signo)
		_exit(BAD_SIGNO);
	if (!context)
		_exit(BAD_CONTEXT);
#ifdef __x86_64__
	const ucontext_t *uc = context;
	if (!counter_is_right((uintptr_t)uc->uc_mcontext.gregs[REG_RIP]))
		_exit(BAD_COUNTER);
#endif
}

/* The same store would only fault again; a signal that was sent is done with. */
static void leave(void)
{
	if (!was_sent(trial->event))
		siglongjmp(way_out, 1);
}

static void plain(int signo)
{
	seen->calls++;
	if (signo != events[trial->event].signo)
		_exit(BAD_SIGNO);
	leave();
}

static void with_siginfo(int signo, siginfo_t *info, void *context)
{
	seen->calls++;
	check_siginfo(signo, info, context);
	leave();
}

static void pass_on(int signo, siginfo_t *info, void *context)
{
	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(signo, info, context);
	} else { /* we do not take this signal, with engine sigsegv */
		signal(signo, SIG_DFL);
		if (info->si_code <= 0)
			kill(getpid(), signo);
	}
}

static void over_ours(int signo, siginfo_t *info, void *context)
{
	if (info->si_code > 0 && cowarena_contains(arena, info->si_addr)) {
		pass_on(signo, info, context);
		return;
	}
	seen->calls++;
	check_siginfo(signo, info, context);
	if (trial->handler == PASSING)
		pass_on(signo, info, context);
	else
		leave();
}

/* ---- in the child ---- */

static void install(bool before)
{
	struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
	bool after = trial->handler == AFTER || trial->handler == PASSING;

	if (trial->handler == DEFAULT || before == after)
		return;
	if (after) {
		sa.sa_sigaction = over_ours;
	} else if (trial->handler == BEFORE || trial->handler == IGNORE) {
		sa.sa_flags = SA_ONSTACK;
		sa.sa_handler = trial->handler == BEFORE ? plain : SIG_IGN;
	} else {
		sa.sa_sigaction = with_siginfo;
		sa.sa_flags |= trial->handler == ONCE ? (int)SA_RESETHAND : 0;
	}
	if (sigaction(events[trial->event].signo, &sa, &previous))
		_exit(BAD_SETUP);
}

/* An arena that has been written to, without a snapshot yet. */
static void make_arena(int engine)
{
	struct cowarena_options o = case_options(engine);

	arena = cowarena_create(&o);
	heap = arena ? cowarena_aligned_alloc(arena, page_size(), PAGES * page_size()) : NULL;
	if (!heap)
		_exit(BAD_SETUP);
	snprintf(seen->engine, sizeof seen->engine, "%s", cowarena_engine_name(arena));
	memset(heap, 1, PAGES * page_size());
}

/* Arm, write to every page, look at the past. */
static void check_copying(void)
{
	cowarena_snapshot *s = take_snapshot(arena, 0);
	struct cowarena_stats stats = {.sz = sizeof stats};

	if (!s || cowarena_stats_get(arena, &stats))
		_exit(BAD_SETUP);
	uint64_t faults = stats.faults;
	for (size_t i = 0; i < PAGES; i++) {
		char *p = heap + i * page_size() + 7, then = 0, now = *p;
		*(volatile char *)p = (char)(now + 1);
		if (cowarena_snapshot_read(s, &then, p, 1) || then != now || *p != (char)(now + 1))
			_exit(BAD_COPY);
	}
	cowarena_stats_get(arena, &stats);
	if (stats.faults == faults || cowarena_snapshot_release(s))
		_exit(BAD_COPY);
}

static char *map(size_t n, int protection)
{
	char *p = mmap(NULL, n, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(BAD_SETUP);
	return p;
}

static char *make_target(void)
{
	size_t page = page_size();

	switch (trial->event) {
	case NULL_STORE:
		return (char *)16;
	case NONE:
		return map(page, PROT_NONE) + 5;
	case EXECUTE: /* a page of `ret` on x86: to execute it would do no harm */
		return memset(map(page, PROT_READ | PROT_WRITE), 0xc3, page);
	case BUS: {
		FILE *empty = tmpfile();
		char *p =
		    empty ? mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(empty), 0)
			  : MAP_FAILED;
		if (p == MAP_FAILED)
			_exit(BAD_SETUP);
		return p + 5;
	}
	case NOT_CANONICAL:
		return (char *)((uintptr_t)1 << 63);
	default:
		return NULL;
	}
}

/* Above a page that must not be touched. Returns the stack's lowest byte. */
static char *use_alternate_stack(size_t size)
{
	size_t page = page_size(), whole = (size + page - 1) & ~(page - 1);
	char *p = map(page + whole, PROT_READ | PROT_WRITE) + page + whole - size;

	memset(p, 0x5a, size);
	if (mprotect(p + size - whole - page, page, PROT_NONE) ||
	    sigaltstack(&(stack_t){.ss_sp = p, .ss_size = size}, NULL))
		_exit(BAD_SETUP);
	return p;
}

/* A deep stack is not needed to overflow one. */
static void prepare_overflow(void)
{
	struct rlimit limit;

	again = overflow;
	if (getrlimit(RLIMIT_STACK, &limit))
		_exit(BAD_SETUP);
	limit.rlim_cur = (size_t)1 << 20;
	setrlimit(RLIMIT_STACK, &limit);
}

static void check_mask(const sigset_t *before)
{
	sigset_t now;

	sigprocmask(SIG_SETMASK, NULL, &now);
	for (int s = 1; s < 32; s++)
		if (sigismember(before, s) != sigismember(&now, s))
			_exit(BAD_MASK);
}

static void one_round(void)
{
	sigset_t before;

	sigprocmask(SIG_SETMASK, NULL, &before);
	errno = 4711;
	if (sigsetjmp(way_out, 1) == 0) {
		events[trial->event].cause((char *)seen->address);
		if (!was_sent(trial->event))
			_exit(NO_FAULT);
	}
	if (was_sent(trial->event) && errno != 4711)
		_exit(BAD_ERRNO);
	check_mask(&before);
	int calls = trial->handler == IGNORE ? 0 : seen->rounds + 1;
	if (seen->calls != calls)
		_exit(BAD_CALLS);
	check_copying();
	seen->rounds++;
}

static void cell_in_child(void)
{
	seen->address = (uintptr_t)make_target();
	if (trial->event == OVERFLOW) {
		prepare_overflow();
		use_alternate_stack(65536 + (size_t)sysconf(_SC_SIGSTKSZ));
	}
	install(true);
	make_arena(trial->engine);
	install(false);
	check_copying();
	if (!take_snapshot(arena, 0))
		_exit(BAD_SETUP);
	for (int i = 0; i < ROUNDS; i++)
		one_round();
	cowarena_destroy(arena);
}

/* ---- in the parent ---- */

/* How a child ended: like `wanted`, or 256 + its exit status if that is not 0. */
static int ending(const siginfo_t *end)
{
	if (end->si_code != CLD_EXITED)
		return end->si_status;
	return end->si_status ? 256 + end->si_status : 0;
}

static const char *ending_name(int end, char *text, size_t n)
{
	if (end == SIGSEGV || end == SIGBUS)
		snprintf(text, n, "%s", end == SIGBUS ? "SIGBUS" : "SIGSEGV");
	else if (end && end < 256)
		snprintf(text, n, "signal %d", end);
	else
		snprintf(text, n, "exit %d", end ? end - 256 : 0);
	return text;
}

static void note(const char *event, const char *handler, int want, int got)
{
	const char *name = getenv("COWARENA_MATRIX");
	FILE *f = name ? fopen(name, "a") : NULL;
	char a[32], b[32];

	ck_assert(!name || f);
	if (f) {
		fprintf(f, "| %s | %s | %s | %s | %s |\n", event, handler, seen->engine,
			ending_name(want, a, sizeof a), ending_name(got, b, sizeof b));
		ck_assert_int_eq(fclose(f), 0);
	}
}

static pid_t start(void (*fn)(void), bool traced)
{
	memset(seen, 0, sizeof *seen);
	fflush(NULL);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		if (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(NO_TRACE);
		fn();
		_exit(0);
	}
	return pid;
}

static int run(void (*fn)(void))
{
	siginfo_t end = {0};
	pid_t pid = start(fn, false);

	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &end, WEXITED), 0);
	ck_assert_int_eq(end.si_signo, SIGCHLD);
	ck_assert_int_eq(end.si_pid, pid);
	if (end.si_code != CLD_EXITED) /* dumped: into a pipe the limit does not count */
		ck_assert(end.si_code == CLD_KILLED || end.si_code == CLD_DUMPED);
	return ending(&end);
}

/* The last signal that a debugger would have been shown before the child ended. */
struct last {
	siginfo_t info;
	uintptr_t counter;
	int end;
};

static struct last trace(void (*fn)(void))
{
	struct last last = {0};
	int status;
	pid_t pid = start(fn, true);

	for (;;) {
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		ck_assert_int_eq(ptrace(PTRACE_GETSIGINFO, pid, NULL, &last.info), 0);
#ifdef __x86_64__
		struct user_regs_struct regs;
		ck_assert_int_eq(ptrace(PTRACE_GETREGS, pid, NULL, &regs), 0);
		last.counter = regs.rip;
#endif
		long signo = WSTOPSIG(status);
		ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, signo), 0);
	}
	last.end = WIFSIGNALED(status)   ? WTERMSIG(status)
		   : WEXITSTATUS(status) ? 256 + WEXITSTATUS(status)
					 : 0;
	return last;
}

static void share(void)
{
	seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(seen != MAP_FAILED);
}

/* Whether the engine is to be had; it says so if not. */
static bool has_engine(int engine)
{
	struct cowarena_options o = case_options(engine);

	o.flags |= COWARENA_STRICT_ENGINE;
	cowarena *a = cowarena_create(&o);
	if (!a)
		printf("SKIP: %s\n", cowarena_errmsg());
	cowarena_destroy(a);
	return a != NULL;
}

/* ---- the matrix ---- */

static bool can_run(const struct trial *t)
{
#ifndef __x86_64__
	if (t->event == NOT_CANONICAL)
		return false;
#endif
	if (thread_sanitized() && was_sent(t->event)) {
		printf("SKIP: ThreadSanitizer delivers late what is sent\n");
		return false;
	}
	return has_engine(t->engine);
}

/* How the child got as far as it did, besides its status. */
static void check_calls(const struct trial *t, int want)
{
	bool handled = t->handler != DEFAULT && t->handler != IGNORE;
	int rounds = !want ? ROUNDS : t->handler == ONCE ? 1 : 0;
	int calls = !handled ? 0 : t->handler == PASSING ? 1 : rounds;

	ck_assert_int_eq(seen->rounds, rounds);
	ck_assert_int_eq(seen->calls, calls);
}

/* Again, and see what it dies of. */
static void check_death(const struct trial *t, int want)
{
	struct last last = trace(cell_in_child);
	int wrong;

	if (last.end == 256 + NO_TRACE) {
		printf("SKIP: ptrace(2) is refused\n");
		return;
	}
	ck_assert_int_eq(last.end, want);
	check_calls(t, want);
	wrong = wrong_siginfo(&last.info, last.info.si_pid);
	ck_assert_msg(!wrong, "died of signal %d, code %d, at %p (%d)", last.info.si_signo,
		      last.info.si_code, last.info.si_addr, wrong);
#ifdef __x86_64__
	ck_assert_msg(counter_is_right(last.counter), "died at %#lx", (long)last.counter);
#endif
}

START_TEST(the_matrix)
{
	int cell = _i % (EVENTS * HANDLERS);
	struct trial t = {.event = (enum event)(cell / HANDLERS),
			  .handler = (enum handler)(cell % HANDLERS),
			  .engine = engines[_i / (EVENTS * HANDLERS)]};
	int want = wanted[t.event][t.handler];
	char a[32], b[32];

	if (!can_run(&t))
		return;
	share();
	trial = &t;
	int got = run(cell_in_child);
	note(events[t.event].name, handler_names[t.handler], want, got);
	ck_assert_msg(got == want, "%s, handler %s, engine %s: %s, not %s", events[t.event].name,
		      handler_names[t.handler], seen->engine, ending_name(got, b, sizeof b),
		      ending_name(want, a, sizeof a));
	check_calls(&t, want);
	if (want)
		check_death(&t, want);
}
END_TEST

/* ---- more children, for one engine each ---- */

static int engine_now; /* of the child to be */

/* Of engine hybrid, all chunks are cold then. */
static void arm_first(void)
{
	make_arena(engine_now);
	if (!take_snapshot(arena, 0))
		_exit(BAD_SETUP);
}

static void arm(void)
{
	arm_first();
	check_copying();
	if (!take_snapshot(arena, 0))
		_exit(BAD_SETUP);
}

static void *write_with_blocked(void *arg)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGSEGV);
	if (*(bool *)arg)
		sigaddset(&mask, SIGBUS);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	check_copying();
	return NULL;
}

static void thread_that_blocks(bool bus)
{
	pthread_t t;

	if (pthread_create(&t, NULL, write_with_blocked, &bus))
		_exit(BAD_SETUP);
	pthread_join(t, NULL);
}

static void blocked_segv(void)
{
	arm_first();
	thread_that_blocks(false);
}

static void blocked_both(void)
{
	arm_first();
	thread_that_blocks(true);
}

static void blocked_segv_later(void)
{
	arm();
	thread_that_blocks(false);
}

static void overflow_without_stack(void)
{
	arm();
	prepare_overflow();
	overflow(NULL);
	_exit(NO_FAULT);
}

/* A handler before us that writes to the arena itself. */
static void writes_armed(int signo)
{
	(void)signo;
	for (size_t i = 0; i < PAGES; i++)
		((volatile char *)heap)[i * page_size() + 9]++;
	seen->calls++;
}

static void handler_that_writes(int flags)
{
	struct sigaction sa = {.sa_handler = writes_armed, .sa_flags = flags};

	sigaction(SIGSEGV, &sa, NULL);
	arm_first();
	for (int round = 1; round <= ROUNDS; round++) {
		cowarena_snapshot *s = take_snapshot(arena, 0);
		char then = 0, *last = heap + (PAGES - 1) * page_size() + 9, now = *last;
		raise(SIGSEGV);
		if (seen->calls != round || *last != (char)(now + 1))
			_exit(BAD_CALLS);
		if (!s || cowarena_snapshot_read(s, &then, last, 1) || then != now)
			_exit(BAD_COPY);
	}
}

static void handler_writes(void)
{
	handler_that_writes(0);
}

static void handler_writes_nodefer(void)
{
	handler_that_writes((int)SA_NODEFER);
}

/* ---- the alternate stack ---- */

/* Most of what a handler may have to do; each with a snapshot of its own. */
static void fault_in_many_ways(void)
{
	size_t n = (size_t)8 << 20;
	char *big = cowarena_aligned_alloc(arena, page_size(), n);

	if (!big)
		_exit(BAD_SETUP);
	memset(big, 1, n);
	for (int round = 0; round < 3; round++) {
		cowarena_snapshot *s = take_snapshot(arena, 0);
		cowarena_view *a = round ? cowarena_view_open(s, 0) : NULL;
		cowarena_view *b = round ? cowarena_view_open(s, COWARENA_VIEW_PRIVATE) : NULL;
		if (!s || (round && (!a || !b)))
			_exit(BAD_SETUP);
		for (size_t i = 0; i < n / 2; i += 5 * page_size()) /* scattered */
			((volatile char *)big)[i]++;
		for (size_t i = n / 2; i < n; i += page_size()) /* a stream */
			((volatile char *)big)[i]++;
		cowarena_view_close(a);
		cowarena_view_close(b);
		if (round == 2)
			cowarena_rollback(arena, s);
	}
	cowarena_free(arena, big);
}

/* Arenas at their limit, whose handlers give up snapshots. */
static void fault_at_the_limit(void)
{
	struct cowarena_options o = case_options(engine_now);

	o.held_limit = 64 * page_size();
	o.limit_policy = COWARENA_LIMIT_DROP_OLDEST;
	cowarena *small = cowarena_create(&o);
	char *p = small ? cowarena_calloc(small, 256, page_size()) : NULL;
	cowarena_snapshot *s = p ? take_snapshot(small, 0) : NULL;
	if (!s)
		_exit(BAD_SETUP);
	memset(p, 1, 256 * page_size());
	if (cowarena_snapshot_read(s, &(char){0}, p, 1) == 0 || errno != ESTALE)
		_exit(BAD_RESULT);
	cowarena_destroy(small);
}

/* The smallest size that leaves anything for a handler: MINSIGSTKSZ may be all the kernel's. */
#define ALLOWANCE 2048
static size_t smallest_stack(void)
{
	size_t frame = (size_t)sysconf(_SC_MINSIGSTKSZ) + ALLOWANCE;

	return frame > 4096 ? frame : 4096;
}

static void small_stacks(void)
{
	make_arena(engine_now);
	for (size_t size = smallest_stack(); size < 100000; size += size / 3 & ~(size_t)15) {
		char *p = use_alternate_stack(size);
		fault_in_many_ways();
		if (p[0] != 0x5a)
			_exit(BAD_RESULT);
	}
	fault_at_the_limit();
}

static uintptr_t kernel_frame;

static void note_frame(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	/* The two come in either order, and nothing of the kernel's is below but a return
	   address. */
	uintptr_t a = (uintptr_t)info, b = (uintptr_t)context;
	kernel_frame = (a < b ? a : b) - sizeof(void *);
}

static size_t untouched(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] == 0x5a)
		i++;
	return i;
}

static void share_of_stack(void)
{
	struct sigaction sa = {.sa_sigaction = note_frame, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	size_t size = (size_t)1 << 18;
	char *p = use_alternate_stack(size);

	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	if (kernel_frame < (uintptr_t)p || kernel_frame >= (uintptr_t)p + size)
		_exit(BAD_RESULT);
	memset(p, 0x5a, size);
	make_arena(engine_now);
	fault_in_many_ways();
	fault_at_the_limit();
	uintptr_t lowest = (uintptr_t)p + untouched(p, size);
	if (lowest >= kernel_frame)
		_exit(NO_FAULT); /* it did not run there */
	seen->share = kernel_frame - lowest;
}

/* ---- leaving by siglongjmp, and vfork ---- */

static void jump(int signo)
{
	(void)signo;
	seen->calls++;
	siglongjmp(way_out, 1);
}

static void jumps(void)
{
	sigset_t before;

	signal(SIGSEGV, jump);
	arm();
	sigprocmask(SIG_SETMASK, NULL, &before);
	for (int i = 1; i <= 100; i++) {
		if (sigsetjmp(way_out, 1) == 0) {
			null_store((char *)(uintptr_t)16);
			_exit(NO_FAULT);
		}
		if (seen->calls != i)
			_exit(BAD_CALLS);
		check_mask(&before);
		check_copying();
	}
}

static void vforks(void)
{
	arm();
	for (int i = 0; i < 10; i++) {
		int status;
		check_copying();
		cowarena_snapshot *s = take_snapshot(arena, 0);
		pid_t pid = vfork();
		if (pid == 0) {
			execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
			_exit(BAD_SETUP);
		}
		char then = 0, now = *heap;
		*(volatile char *)heap = (char)(now + 1);
		if (cowarena_snapshot_read(s, &then, heap, 1) || then != now)
			_exit(BAD_COPY);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
		    WEXITSTATUS(status) != 7)
			_exit(BAD_RESULT);
		check_copying();
	}
}

static const struct {
	const char *name;
	void (*fn)(void);
	int engine, wanted;
} others[] = {
    {"thread blocks SIGSEGV", blocked_segv, CASE_DEFAULT, SIGSEGV},
    {"thread blocks SIGSEGV", blocked_segv, CASE_HYBRID, SIGSEGV}, /* the chunk is cold */
    {"the same in a warm chunk", blocked_segv_later, CASE_HYBRID, 0},
    {"thread blocks SIGSEGV", blocked_segv, CASE_UFFD, 0},
    {"thread blocks SIGSEGV", blocked_segv, CASE_EVENTS, 0},
    {"thread blocks SIGSEGV, SIGBUS", blocked_both, CASE_DEFAULT, SIGSEGV},
    {"thread blocks SIGSEGV, SIGBUS", blocked_both, CASE_UFFD, SIGBUS},
    {"thread blocks SIGSEGV, SIGBUS", blocked_both, CASE_EVENTS, 0},
    {"stack overflow, no other stack", overflow_without_stack, CASE_DEFAULT, SIGSEGV},
    {"stack overflow, no other stack", overflow_without_stack, CASE_UFFD, SIGSEGV},
    {"stack overflow, no other stack", overflow_without_stack, CASE_HYBRID, SIGSEGV},
    {"handler writes to the arena", handler_writes, CASE_DEFAULT, SIGSEGV},
    {"handler writes to the arena", handler_writes, CASE_UFFD, 0},
    {"handler writes to the arena", handler_writes, CASE_EVENTS, 0},
    {"the same with SA_NODEFER", handler_writes_nodefer, CASE_DEFAULT, 0},
    {"the same with SA_NODEFER", handler_writes_nodefer, CASE_UFFD, 0},
    {"the same with SA_NODEFER", handler_writes_nodefer, CASE_HYBRID, 0},
    {"small alternate stacks", small_stacks, CASE_DEFAULT, 0},
    {"small alternate stacks", small_stacks, CASE_UFFD, 0},
    {"small alternate stacks", small_stacks, CASE_HYBRID, 0},
    {"share of alternate stack", share_of_stack, CASE_DEFAULT, 0},
    {"share of alternate stack", share_of_stack, CASE_UFFD, 0},
    {"share of alternate stack", share_of_stack, CASE_HYBRID, 0},
    {"siglongjmp from a handler", jumps, CASE_DEFAULT, 0},
    {"siglongjmp from a handler", jumps, CASE_UFFD, 0},
    {"siglongjmp from a handler", jumps, CASE_HYBRID, 0},
    {"siglongjmp from a handler", jumps, CASE_EVENTS, 0},
    {"vfork and exec", vforks, CASE_DEFAULT, 0},
    {"vfork and exec", vforks, CASE_UFFD, 0},
    {"vfork and exec", vforks, CASE_HYBRID, 0},
    {"vfork and exec", vforks, CASE_EVENTS, 0},
};
#define OTHERS (int)(sizeof others / sizeof *others)

static bool needs_small_frames(void (*fn)(void))
{
	return fn == small_stacks || fn == share_of_stack;
}

START_TEST(other_children)
{
	int want = others[_i].wanted;
	char a[32], b[32];

	if (sanitized() && needs_small_frames(others[_i].fn)) {
		printf("SKIP: a sanitizer's frames are large\n");
		return;
	}
	engine_now = others[_i].engine;
	if (!has_engine(engine_now))
		return;
	share();
	int got = run(others[_i].fn);
	note(others[_i].name, "", want, got);
	ck_assert_msg(got == want, "%s, engine %s: %s, not %s", others[_i].name, seen->engine,
		      ending_name(got, b, sizeof b), ending_name(want, a, sizeof a));
	ck_assert_uint_lt(seen->share, ALLOWANCE);
	if (seen->share)
		printf("engine %s: %zu bytes of the alternate stack\n", seen->engine, seen->share);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fault-matrix");
	TCase *matrix = tcase_create("matrix"), *rest = tcase_create("others");

	tcase_add_loop_test(matrix, the_matrix, 0, ENGINES * EVENTS * HANDLERS);
	suite_add_tcase(suite, matrix);
	tcase_add_loop_test(rest, other_children, 0, OTHERS);
	suite_add_tcase(suite, rest);
	return run_suite(suite);
}
