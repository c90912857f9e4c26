/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-heap-threads.c - local heaps: threads that start and end, allocate at once, and free each
 * other's blocks too, with snapshots and rollbacks in between.
 */
#include "config.h"

#include "common.h"
#include "heap-locals.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static void sound(cowarena *arena, cowarena_snapshot *s)
{
	ck_assert_msg(!cowarena_heap_check(arena, s), "%s", cowarena_errmsg());
}

struct list {
	void **p;
	size_t n, room;
};

static int add(void *ctx, void *p, size_t size)
{
	struct list *l = ctx;

	(void)size;
	if (l->n == l->room) {
		l->room = l->room ? 2 * l->room : 64;
		l->p = realloc(l->p, l->room * sizeof *l->p);
	}
	l->p[l->n++] = p;
	return 0;
}

static struct list blocks(cowarena *arena, cowarena_snapshot *s)
{
	struct list l = {0};

	ck_assert_int_eq(cowarena_heap_walk(arena, s, add, &l), 0);
	return l;
}

/* ---- all at once ---- */

#define THREADS 4
#define OWN 500
#define MAILBOXES 32

struct crowd {
	cowarena *arena;
	_Atomic bool stop;
	pthread_barrier_t gate; /* when the heap is rolled back */
	_Atomic bool rest;
	_Atomic(char *) mailbox[MAILBOXES];
};

struct member {
	pthread_t thread;
	struct crowd *crowd;
	uint64_t seed;
	char *own[OWN];
};

static void swap_one(struct member *m, size_t i)
{
	cowarena *arena = m->crowd->arena;
	size_t n = rng(&m->seed) % 8 ? rng(&m->seed) % 700 : rng(&m->seed) % 40000;

	if (rng(&m->seed) % 4 == 0)
		m->own[i] =
		    atomic_exchange(&m->crowd->mailbox[rng(&m->seed) % MAILBOXES], m->own[i]);
	if (m->own[i] && rng(&m->seed) % 4 == 0) {
		m->own[i] = cowarena_realloc(arena, m->own[i], n + 1);
	} else {
		cowarena_free(arena, m->own[i]);
		m->own[i] = cowarena_alloc(arena, n);
	}
	ck_assert_ptr_nonnull(m->own[i]);
	m->own[i][0] = 1;
}

static void *member_main(void *arg)
{
	struct member *m = arg;

	while (!atomic_load(&m->crowd->stop)) {
		swap_one(m, rng(&m->seed) % OWN);
		if (atomic_load(&m->crowd->rest)) {
			pthread_barrier_wait(&m->crowd->gate);
			/* What it had is not there any more, or is again. */
			memset(m->own, 0, sizeof m->own);
			pthread_barrier_wait(&m->crowd->gate);
		}
	}
	return NULL;
}

static void roll_back_at_rest(struct crowd *crowd, cowarena_snapshot *s)
{
	atomic_store(&crowd->rest, true);
	pthread_barrier_wait(&crowd->gate);
	ck_assert_msg(!cowarena_rollback(crowd->arena, s), "%s", cowarena_errmsg());
	for (size_t i = 0; i < MAILBOXES; i++)
		atomic_store(&crowd->mailbox[i], NULL);
	sound(crowd->arena, NULL);
	atomic_store(&crowd->rest, false);
	pthread_barrier_wait(&crowd->gate);
}

/* In round `when` something happens to the process. */
static void watch_crowd(int c, size_t rounds, size_t when, void (*happens)(cowarena *arena))
{
	struct crowd crowd = {.arena = arena_case(c)};
	static struct member member[THREADS];
	uint64_t seed = THREADS + 1;

	pthread_barrier_init(&crowd.gate, NULL, THREADS + 1);
	for (size_t i = 0; i < THREADS; i++) {
		member[i] = (struct member){.crowd = &crowd, .seed = i + 1};
		ck_assert_int_eq(pthread_create(&member[i].thread, NULL, member_main, &member[i]),
				 0);
	}
	cowarena_snapshot *kept = NULL;
	for (size_t i = 0; i < rounds; i++) {
		/* The last one is of a heap that is in use. */
		while (i == rounds - 1 && !stats_of(crowd.arena).live_bytes)
			sched_yield();
		cowarena_snapshot *s = take_snapshot(crowd.arena, 0);
		ck_assert_msg(s != NULL, "%s", cowarena_errmsg());
		sound(crowd.arena, s);
		sound(crowd.arena, NULL);
		if (happens && i == when)
			happens(crowd.arena);
		if (i % 8 == 7)
			roll_back_at_rest(&crowd, rng(&seed) % 2 ? s : kept);
		cowarena_snapshot_release(kept);
		kept = s;
	}
	atomic_store(&crowd.stop, true);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(member[i].thread, NULL);
	/* What was in use is listed, then and now, and may be freed by anybody. */
	struct list then = blocks(crowd.arena, kept);
	ck_assert_int_eq(cowarena_rollback(crowd.arena, kept), 0);
	struct list now = blocks(crowd.arena, NULL);
	ck_assert_uint_eq(now.n, then.n);
	ck_assert_uint_gt(now.n, 0);
	for (size_t i = 0; i < now.n; i++) {
		ck_assert_ptr_eq(now.p[i], then.p[i]);
		cowarena_free(crowd.arena, now.p[i]);
	}
	ck_assert_uint_eq(stats_of(crowd.arena).live_bytes, 0);
	sound(crowd.arena, NULL);
	free(now.p), free(then.p);
	cowarena_destroy(crowd.arena);
	pthread_barrier_destroy(&crowd.gate);
}

START_TEST(snapshots_of_a_crowd)
{
	/* That engine copies the heap each time. */
	watch_crowd(_i, scaled(200, 20000, 12) / (_i == CASE_EAGER ? 10 : 1), 0, NULL);
}
END_TEST

/* ---- without what the kernel and the C library do for it ---- */

/* Of this thread, and of those that it starts. */
static void forbid_membarrier(void)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_membarrier, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog program = {sizeof code / sizeof *code, code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) || os_barrier())
		_exit(77);
}

#define WHEN 9 /* after the first rollback, for which they all have come */

/* The owners of local heaps have barriers of their own now. */
static void all_are_fenced(cowarena *arena)
{
	for (size_t i = 0; i < LOCALS; i++)
		ck_assert(!arena->heap.locals[i] || arena->heap.locals[i]->fenced);
}

static void forbid_and_stop(cowarena *arena)
{
	forbid_membarrier();
	heap_stop(arena);
	all_are_fenced(arena);
	heap_go(arena);
}

static void refused_from_the_start(void *c)
{
	forbid_membarrier();
	watch_crowd(*(int *)c, scaled(60, 20000, 12), WHEN, all_are_fenced);
}

static void refused_later(void *c)
{
	watch_crowd(*(int *)c, scaled(60, 20000, 12), WHEN, forbid_and_stop);
}

START_TEST(without_membarrier)
{
	if (sanitized() && _i % 2) {
		printf("SKIP: with a sanitizer all goes by the heap lock\n");
		return;
	}
	int status = in_child(_i % 2 ? refused_later : refused_from_the_start,
			      &(int){_i / 2 ? CASE_HYBRID : CASE_DEFAULT}, NULL);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		printf("SKIP: no seccomp filters here\n");
		return;
	}
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}
END_TEST

struct keyless {
	cowarena *arena;
	char *p[100];
};

static void *keyless_main(void *arg)
{
	struct keyless *k = arg;

	for (size_t i = 0; i < 100; i++) {
		k->p[i] = cowarena_alloc(k->arena, 16 + i * 7);
		ck_assert_ptr_nonnull(k->p[i]);
		memset(k->p[i], 1, 16 + i * 7);
		if (i % 3 == 0) {
			cowarena_free(k->arena, k->p[i]);
			k->p[i] = NULL;
		}
	}
	ck_assert_ptr_null(cowarena_strdup(k->arena, NULL));
	ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "s is NULL"));
	return NULL;
}

/* In a process of its own, where the library has not come to have its keys yet. */
static void have_no_keys(void *c)
{
	struct keyless k[2];
	pthread_key_t key;
	pthread_t thread;

	while (pthread_key_create(&key, NULL) == 0)
		;
	cowarena *arena = arena_case(*(int *)c);
	for (size_t i = 0; i < 2; i++) {
		k[i].arena = arena;
		ck_assert_int_eq(pthread_create(&thread, NULL, keyless_main, &k[i]), 0);
		pthread_join(thread, NULL);
	}
	keyless_main(&(struct keyless){.arena = arena});
	/* The end of a thread would not be heard of. */
	for (size_t i = 1; i < LOCALS; i++)
		ck_assert_ptr_null(arena->heap.locals[i]);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	sound(arena, s);
	uint64_t bytes = stats_of(arena).live_bytes;
	for (size_t i = 0; i < 200; i++)
		cowarena_free(arena, k[i / 100].p[i % 100]);
	ck_assert_uint_lt(stats_of(arena).live_bytes, bytes);
	sound(arena, NULL);
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	ck_assert_uint_eq(stats_of(arena).live_bytes, bytes);
	sound(arena, NULL);
	cowarena_destroy(arena);
}

START_TEST(without_keys)
{
	int status = in_child(have_no_keys, &_i, NULL);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}
END_TEST

/* ---- what another thread frees ---- */

#define MANY 3000 /* more than fit into a box */

struct handover {
	cowarena *arena;
	char *p[MANY];
	pthread_barrier_t step;
	bool goes; /* after the first blocks */
};

static void *gives_away(void *arg)
{
	struct handover *h = arg;

	for (size_t i = 0; i < MANY; i++)
		h->p[i] = cowarena_alloc(h->arena, 16 + i % 300);
	pthread_barrier_wait(&h->step);
	/* It is there, and does nothing. */
	pthread_barrier_wait(&h->step);
	for (size_t i = 0; i < MANY && !h->goes; i++)
		h->p[i] = cowarena_alloc(h->arena, 16 + i % 300);
	return NULL;
}

/* Start a thread that gives its blocks away, and wait until it has. */
static pthread_t hand_over(struct handover *h)
{
	pthread_t other;

	pthread_barrier_init(&h->step, NULL, 2);
	ck_assert_int_eq(pthread_create(&other, NULL, gives_away, h), 0);
	pthread_barrier_wait(&h->step);
	return other;
}

START_TEST(freed_by_another)
{
	static struct handover h;

	h.arena = arena_case(_i);
	pthread_t other = hand_over(&h);
	for (size_t i = 0; i < MANY; i++) {
		cowarena_free(h.arena, h.p[i]);
		if (i % 1000 == 99) /* with a box half full */
			cowarena_snapshot_release(take_snapshot(h.arena, 0));
	}
	ck_assert_uint_eq(stats_of(h.arena).live_bytes, 0);
	sound(h.arena, NULL);
	uint64_t bytes = stats_of(h.arena).arena_bytes;
	pthread_barrier_wait(&h.step);
	pthread_join(other, NULL);
	ck_assert_uint_le(stats_of(h.arena).arena_bytes, bytes + (1 << 20));
	/* Now nobody's: by the lock. */
	for (size_t i = 0; i < MANY; i++)
		cowarena_free(h.arena, h.p[i]);
	ck_assert_uint_eq(stats_of(h.arena).live_bytes, 0);
	sound(h.arena, NULL);
	cowarena_destroy(h.arena);
	pthread_barrier_destroy(&h.step);
}
END_TEST

static void frees_twice(void *arg)
{
	static struct handover h;
	pthread_t other;
	size_t n = *(size_t *)arg;

	h.arena = cowarena_create(NULL);
	pthread_barrier_init(&h.step, NULL, 2);
	if (!h.arena || pthread_create(&other, NULL, gives_away, &h))
		_exit(1);
	pthread_barrier_wait(&h.step);
	for (size_t i = 0; i < n; i++)
		cowarena_free(h.arena, h.p[i]);
	cowarena_free(h.arena, h.p[n - 1]);
	cowarena_snapshot_release(take_snapshot(h.arena, 0));
	_exit(0);
}

/* It is told, be the block on its way or not: by the next snapshot at the latest. */
START_TEST(freed_twice)
{
	char *output;

	for (size_t n = 1; n < 600; n = n == 1 ? 250 : n < 260 ? n + 1 : n + 100) {
		int status = in_child(frees_twice, &n, &output);
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%zu: %#x", n,
			      status);
		ck_assert_ptr_nonnull(strstr(output, "freed already"));
		free(output);
	}
}
END_TEST

/* A snapshot that has blocks on their way to their owner has them free, and so has a rollback
   to it. */
START_TEST(on_their_way)
{
	static struct handover h;

	h.arena = arena_case(_i);
	pthread_t other = hand_over(&h);
	for (size_t i = 100; i < MANY; i++)
		cowarena_free(h.arena, h.p[i]);
	cowarena_snapshot *s = take_snapshot(h.arena, 0);
	struct list then = blocks(h.arena, s);
	ck_assert_uint_eq(then.n, 100);
	for (size_t i = 0; i < 100; i++)
		cowarena_free(h.arena, h.p[i]);
	ck_assert_int_eq(cowarena_rollback(h.arena, s), 0);
	struct list now = blocks(h.arena, NULL);
	ck_assert_uint_eq(now.n, 100);
	sound(h.arena, NULL);
	pthread_barrier_wait(&h.step);
	pthread_join(other, NULL);
	sound(h.arena, NULL);
	free(then.p), free(now.p);
	cowarena_destroy(h.arena);
	pthread_barrier_destroy(&h.step);
}
END_TEST

/* ---- at each instruction of a free ---- */

#define STEPS 400 /* instructions, more than a free into a box takes */

/* One thread is stopped at an instruction, while others do all that may come in between. */
static struct {
	cowarena *arena;
	char *p[8]; /* the first one is freed by the thread that is stopped */
	sem_t ready, leave;
	_Atomic int left; /* instructions to go */
	_Atomic bool reached, done;
} step;

#ifdef __x86_64__

/* The trap flag. Below the stack pointer may be something of the function's (the red zone). */
#define STEP_ON()                                                                                  \
	__asm__ volatile("leaq -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\t"   \
			 "leaq 128(%%rsp), %%rsp" ::                                               \
			     : "cc", "memory")
#define STEP_OFF()                                                                                 \
	__asm__ volatile("leaq -128(%%rsp), %%rsp\n\tpushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\t" \
			 "leaq 128(%%rsp), %%rsp" ::                                               \
			     : "cc", "memory")

static void stop_stepping(ucontext_t *u)
{
	u->uc_mcontext.gregs[REG_EFL] &= ~0x100;
}

#else

/* Other processors let a debugger step, and nobody else. */
#define NO_STEPS
#define STEP_ON()
#define STEP_OFF()

static void stop_stepping(ucontext_t *u)
{
	(void)u;
}

#endif

static void on_step(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info;
	if (atomic_fetch_sub(&step.left, 1) != 1)
		return;
	stop_stepping(context);
	atomic_store(&step.reached, true);
	/* Where it holds a lock, the others need it first. */
	for (int i = 0; i < 50 && !atomic_load(&step.done); i++)
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static bool can_step(void)
{
	struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};

#ifdef NO_STEPS
	bool can = false;
#else
	bool can = !sanitized() && !getenv("COWARENA_VALGRIND");
#endif

	if (!can) {
		printf("SKIP: no single steps here\n");
		return false;
	}
	sigaction(SIGTRAP, &action, NULL);
	sem_init(&step.ready, 0, 0), sem_init(&step.leave, 0, 0);
	return true;
}

static void set_step(int instruction)
{
	atomic_store(&step.left, instruction);
	atomic_store(&step.reached, false);
	atomic_store(&step.done, false);
}

static void *owner_main(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < 8; i++)
		*(step.p[i] = cowarena_alloc(step.arena, 48)) = 1;
	sem_post(&step.ready);
	sem_wait(&step.leave);
	return NULL;
}

static void *stepped_main(void *arg)
{
	(void)arg;
	STEP_ON();
	cowarena_free(step.arena, step.p[0]);
	STEP_OFF();
	atomic_store(&step.reached, true);
	return NULL;
}

static void *adopts(void *arg)
{
	(void)arg;
	cowarena_free(step.arena, cowarena_alloc(step.arena, 5000));
	sem_wait(&step.leave);
	return NULL;
}

/* The slab's owner ends, another thread takes the slab, a third one the local heap. */
static void adopted_at(int instruction)
{
	pthread_t owner, stepped, third;

	set_step(instruction);
	ck_assert_int_eq(pthread_create(&owner, NULL, owner_main, NULL), 0);
	sem_wait(&step.ready);
	ck_assert_int_eq(pthread_create(&stepped, NULL, stepped_main, NULL), 0);
	while (!atomic_load(&step.reached))
		sched_yield();
	sem_post(&step.leave);
	pthread_join(owner, NULL);
	char *mine = cowarena_alloc(step.arena, 48); /* the slab is this thread's now */
	ck_assert_int_eq(pthread_create(&third, NULL, adopts, NULL), 0);
	nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
	atomic_store(&step.done, true);
	pthread_join(stepped, NULL);
	if (cowarena_heap_check(step.arena, NULL))
		ck_abort_msg("at instruction %d: %s", instruction, cowarena_errmsg());
	sem_post(&step.leave);
	pthread_join(third, NULL);
	for (size_t i = 1; i < 8; i++)
		cowarena_free(step.arena, step.p[i]);
	cowarena_free(step.arena, mine);
}

START_TEST(freed_while_its_slab_moves)
{
	if (!can_step())
		return;
	for (int i = 1; i < STEPS; i += (int)scaled(3, 1, 20)) {
		/* Fresh: in the first slab of the class that is left behind is the block. */
		step.arena = cowarena_create(NULL);
		ck_assert_msg(step.arena != NULL, "%s", cowarena_errmsg());
		cowarena_free(step.arena, cowarena_alloc(step.arena, 5000)); /* this thread's */
		adopted_at(i);
		cowarena_destroy(step.arena);
		if (atomic_load(&step.left) > 0) /* it takes fewer */
			break;
	}
}
END_TEST

/* ---- at each instruction of an allocation ---- */

static void *allocates_stepped(void *arg)
{
	(void)arg;
	/* Two slabs, so that one can be given back. */
	char *p[100];
	for (size_t i = 0; i < 100; i++)
		p[i] = cowarena_alloc(step.arena, 64);
	for (size_t i = 1; i < 70; i++)
		cowarena_free(step.arena, p[i]);
	sem_post(&step.ready);
	sem_wait(&step.leave);
	STEP_ON();
	cowarena_free(step.arena, p[0]);
	char *q = cowarena_alloc(step.arena, 64);
	STEP_OFF();
	atomic_store(&step.reached, true);
	*q = 1;
	return NULL;
}

/* What is snapshot and rolled back to has a whole heap, wherever the owner of a local heap is. */
START_TEST(snapshots_at_each_instruction)
{
	pthread_t owner;

	if (!can_step())
		return;
	for (int i = 1; i < STEPS; i += (int)scaled(3, 1, 20)) {
		step.arena = cowarena_create(NULL);
		ck_assert_msg(step.arena != NULL, "%s", cowarena_errmsg());
		*(char *)cowarena_alloc(step.arena, 64) = 1; /* this thread's */
		set_step(i);
		ck_assert_int_eq(pthread_create(&owner, NULL, allocates_stepped, NULL), 0);
		sem_wait(&step.ready);
		sem_post(&step.leave);
		while (!atomic_load(&step.reached))
			sched_yield();
		cowarena_snapshot *s = take_snapshot(step.arena, 0);
		ck_assert_msg(s != NULL, "%s", cowarena_errmsg());
		sound(step.arena, s);
		sound(step.arena, NULL);
		atomic_store(&step.done, true);
		pthread_join(owner, NULL);
		sound(step.arena, s);
		sound(step.arena, NULL);
		ck_assert_int_eq(cowarena_rollback(step.arena, s), 0);
		sound(step.arena, NULL);
		cowarena_destroy(step.arena);
		if (atomic_load(&step.left) > 0) /* it takes fewer */
			break;
	}
}
END_TEST

/* ---- threads that come and go ---- */

/* What was on its way to a thread that has ended is freed before its slabs go to another. */
START_TEST(on_their_way_to_nobody)
{
	static struct handover h;
	char *p;

	h = (struct handover){.arena = arena_case(_i), .goes = true};
	ck_assert_ptr_nonnull(cowarena_alloc(h.arena, 16)); /* not in what is left behind */
	pthread_t other = hand_over(&h);
	for (size_t i = MANY - 200; i < MANY; i++) /* in slabs that have room */
		cowarena_free(h.arena, h.p[i]);
	pthread_barrier_wait(&h.step);
	pthread_join(other, NULL);
	for (size_t i = 0; i < MANY; i++) { /* takes all that was left behind */
		p = cowarena_alloc(h.arena, 16 + i % 300);
		ck_assert_ptr_nonnull(p);
		*p = 1;
	}
	sound(h.arena, NULL);
	for (size_t i = 0; i < MANY - 200; i++)
		cowarena_free(h.arena, h.p[i]);
	sound(h.arena, NULL);
	cowarena_destroy(h.arena);
	pthread_barrier_destroy(&h.step);
}
END_TEST

static void *one_block(void *arg)
{
	return cowarena_alloc(arg, 100);
}

/* What a thread has left behind is used by the next. */
START_TEST(one_after_the_other)
{
	cowarena *arena = arena_case(_i);
	size_t n = scaled(300, 3000, 100);
	void **p = calloc(n, sizeof *p);
	pthread_t thread;
	uint64_t early = 0;

	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(pthread_create(&thread, NULL, one_block, arena), 0);
		pthread_join(thread, &p[i]);
		ck_assert_ptr_nonnull(p[i]);
		for (size_t k = 0; k < i; k++)
			ck_assert_ptr_ne(p[k], p[i]);
		if (i == 2)
			early = stats_of(arena).arena_bytes;
	}
	ck_assert_uint_le(stats_of(arena).arena_bytes, early + n * 128 + 16384);
	sound(arena, NULL);
	for (size_t i = 0; i < n; i++)
		cowarena_free(arena, p[i]);
	ck_assert_uint_eq(stats_of(arena).live_bytes, 0);
	free(p);
	cowarena_destroy(arena);
}
END_TEST

#define TOO_MANY 80

struct queue {
	cowarena *arena;
	pthread_barrier_t all;
};

static void *stays(void *arg)
{
	struct queue *q = arg;
	char *p[50];

	for (int i = 0; i < 50; i++)
		*(p[i] = cowarena_alloc(q->arena, 24)) = 1;
	pthread_barrier_wait(&q->all);
	for (int i = 0; i < 50; i += 2)
		cowarena_free(q->arena, p[i]);
	pthread_barrier_wait(&q->all);
	for (int i = 1; i < 50; i += 2)
		cowarena_free(q->arena, p[i]);
	return NULL;
}

/* Some have no local heap of their own. */
START_TEST(more_than_there_are)
{
	struct queue q = {.arena = arena_case(_i)};
	pthread_t thread[TOO_MANY];

	pthread_barrier_init(&q.all, NULL, TOO_MANY + 1);
	for (int i = 0; i < TOO_MANY; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, stays, &q), 0);
	pthread_barrier_wait(&q.all);
	sound(q.arena, NULL);
	pthread_barrier_wait(&q.all);
	for (int i = 0; i < TOO_MANY; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(stats_of(q.arena).live_bytes, 0);
	sound(q.arena, NULL);
	cowarena_destroy(q.arena);
	pthread_barrier_destroy(&q.all);
}
END_TEST

/* ---- rollback ---- */

static void *before_and_after(void *arg)
{
	struct queue *q = arg;
	char *p = cowarena_alloc(q->arena, 1000);

	ck_assert_ptr_nonnull(p);
	pthread_barrier_wait(&q->all);
	pthread_barrier_wait(&q->all); /* to when it had no local heap */
	for (int i = 0; i < 1000; i++) {
		p = cowarena_alloc(q->arena, 1000);
		ck_assert_ptr_nonnull(p);
		*p = 1;
	}
	pthread_barrier_wait(&q->all);
	pthread_barrier_wait(&q->all); /* and once more */
	cowarena_free(q->arena, cowarena_alloc(q->arena, 10));
	return NULL;
}

START_TEST(to_before_the_thread)
{
	struct queue q = {.arena = arena_case(_i)};
	cowarena_snapshot *s = take_snapshot(q.arena, 0);
	pthread_t thread;

	pthread_barrier_init(&q.all, NULL, 2);
	ck_assert_int_eq(pthread_create(&thread, NULL, before_and_after, &q), 0);
	for (int i = 0; i < 2; i++) {
		pthread_barrier_wait(&q.all);
		sound(q.arena, NULL);
		ck_assert_int_eq(cowarena_rollback(q.arena, s), 0);
		ck_assert_uint_eq(stats_of(q.arena).live_bytes, 0);
		sound(q.arena, NULL);
		pthread_barrier_wait(&q.all);
	}
	pthread_join(thread, NULL);
	sound(q.arena, NULL);
	cowarena_destroy(q.arena);
	pthread_barrier_destroy(&q.all);
}
END_TEST

#define CALLS 3000
#define LIVE 200

/* A sequence of calls; what they have returned. */
static void sequence(cowarena *arena, uint64_t seed, void **returned, bool pause)
{
	char *p[LIVE] = {NULL};

	for (size_t i = 0; i < CALLS; i++) {
		char **at = &p[rng(&seed) % LIVE];
		size_t n = rng(&seed) % 20 ? rng(&seed) % 2000 : rng(&seed) % 100000;
		switch (rng(&seed) % 4) {
		case 0:
			*at = cowarena_realloc(arena, *at, n + 1);
			break;
		case 1:
			cowarena_free(arena, *at);
			*at = cowarena_aligned_alloc(arena, (size_t)16 << rng(&seed) % 10, n);
			break;
		default:
			cowarena_free(arena, *at);
			*at = cowarena_alloc(arena, n);
		}
		ck_assert_ptr_nonnull(*at);
		**at = 1;
		returned[i] = *at;
		if (pause && i % 500 == 0)
			cowarena_snapshot_release(take_snapshot(arena, 0));
	}
}

/* After a rollback the same calls return the same addresses. */
START_TEST(the_same_again)
{
	cowarena *arena = arena_case(_i);
	static void *first[CALLS], *again[CALLS], *aside[CALLS];

	sequence(arena, 1, aside, true); /* a past, with holes */
	for (int round = 0; round < 4; round++) {
		cowarena_snapshot *s = take_snapshot(arena, 0);
		bool pause = round % 2;
		sequence(arena, 2, first, pause);
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
		sequence(arena, 3, aside, pause);
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
		sequence(arena, 2, again, pause);
		ck_assert(memcmp(first, again, sizeof first) == 0);
		ck_assert(memcmp(first, aside, sizeof first) != 0);
		cowarena_snapshot_release(s);
	}
	sound(arena, NULL);
	cowarena_destroy(arena);
}
END_TEST

#define FREED 200

/* Another arena's calls come between. */
static void with_another(cowarena *arena, cowarena *another, char **freed, char **returned)
{
	for (size_t i = 0; i < FREED; i++)
		cowarena_free(arena, freed[i]); /* whole slabs */
	for (size_t i = 0; i < 20; i++)
		returned[i] = cowarena_alloc(arena, 17000);
	cowarena_free(another, cowarena_alloc(another, 48));
}

START_TEST(the_same_beside_others)
{
	cowarena *arena[5];
	char *freed[FREED], *first[20], *again[20];

	for (size_t i = 0; i < 5; i++)
		arena[i] = arena_case(_i);
	for (size_t i = 0; i < FREED; i++)
		freed[i] = cowarena_alloc(arena[0], 1024);
	for (size_t i = 0; i < 50; i++)
		*(char *)cowarena_alloc(arena[0], 1024) = 1;
	cowarena_snapshot *s = take_snapshot(arena[0], 0);
	for (size_t i = 1; i < 5; i++) {
		with_another(arena[0], arena[i], freed, i == 1 ? first : again);
		ck_assert(i == 1 || memcmp(first, again, sizeof first) == 0);
		ck_assert_int_eq(cowarena_rollback(arena[0], s), 0);
	}
	for (size_t i = 0; i < 5; i++)
		cowarena_destroy(arena[i]);
}
END_TEST

/* ---- fork ---- */

static void child_uses(struct handover *h)
{
	/* The other thread is not there; what it has allocated is. */
	for (size_t i = 0; i < MANY; i++)
		cowarena_free(h->arena, h->p[i]);
	if (stats_of(h->arena).live_bytes || cowarena_heap_check(h->arena, NULL))
		_exit(1);
	for (size_t i = 0; i < MANY; i++)
		if (!(h->p[i] = cowarena_alloc(h->arena, 16 + i % 300)))
			_exit(2);
	_exit(cowarena_heap_check(h->arena, NULL) ? 3 : 0);
}

START_TEST(in_a_child)
{
	static struct handover h;
	struct cowarena_options o = case_options(_i);
	int status;

	if (sanitized()) {
		printf("SKIP: sanitizers do not survive a fork() with threads\n");
		return;
	}
	o.flags |= COWARENA_FORK_COPY;
	h.arena = cowarena_create(&o);
	ck_assert_msg(h.arena != NULL, "%s", cowarena_errmsg());
	pthread_t other = hand_over(&h);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		child_uses(&h);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
	pthread_barrier_wait(&h.step);
	pthread_join(other, NULL);
	sound(h.arena, NULL);
	cowarena_destroy(h.arena);
}
END_TEST

/* Handlers that are registered before the library's: they come after its own in the
   preparation of a fork. */
static struct {
	_Atomic bool on, stop;
	pthread_t worker;
	cowarena *arena;
	pthread_barrier_t meet;
	struct local *local; /* that the worker has */
} prep;

static void let_it_allocate(void)
{
	if (!prep.on)
		return;
	pthread_barrier_wait(&prep.meet);
	pthread_barrier_wait(&prep.meet);
}

static void *allocates_late(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&prep.meet);
	for (int i = 0; i < 100; i++)
		*(char *)cowarena_alloc(prep.arena, 48) = 1;
	pthread_barrier_wait(&prep.meet);
	pthread_barrier_wait(&prep.meet);
	return NULL;
}

static void forking_arena(struct cowarena_options o)
{
	o.flags |= COWARENA_FORK_COPY;
	prep.arena = cowarena_create(&o);
	ck_assert_msg(prep.arena != NULL, "%s", cowarena_errmsg());
	pthread_barrier_init(&prep.meet, NULL, 2);
}

static void late_child(void)
{
	char *big = cowarena_alloc(prep.arena, 20000);

	memset(big, 1, 20000);
	for (int i = 0; i < 1000; i++)
		memset(cowarena_alloc(prep.arena, 48), 2, 48);
	for (int i = 0; i < 20000; i++)
		if (big[i] != 1)
			_exit(1);
	_exit(cowarena_heap_check(prep.arena, NULL) ? 2 : 0);
}

/* A child's copy is older than what the child has inherited of the threads' records. */
START_TEST(a_local_heap_as_late_as_can_be)
{
	int status;

	if (sanitized()) {
		printf("SKIP: sanitizers do not survive a fork() with threads\n");
		return;
	}
	pthread_atfork(let_it_allocate, NULL, NULL);
	forking_arena(case_options(_i));
	*(char *)cowarena_alloc(prep.arena, 48) = 1;
	ck_assert_int_eq(pthread_create(&prep.worker, NULL, allocates_late, NULL), 0);
	prep.on = true;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		late_child();
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
	prep.on = false;
	pthread_barrier_wait(&prep.meet);
	pthread_join(prep.worker, NULL);
	sound(prep.arena, NULL);
	cowarena_destroy(prep.arena);
}
END_TEST

static void join_it(void)
{
	if (!prep.on)
		return;
	atomic_store(&prep.stop, true);
	pthread_join(prep.worker, NULL);
	prep.on = false;
}

static void *works(void *arg)
{
	(void)arg;
	cowarena_free(prep.arena, cowarena_alloc(prep.arena, 50));
	pthread_barrier_wait(&prep.meet);
	while (!atomic_load(&prep.stop))
		cowarena_free(prep.arena, cowarena_alloc(prep.arena, 50));
	return NULL;
}

/* Some libraries end their threads before a fork. */
START_TEST(joined_before_the_fork)
{
	int status;

	pthread_atfork(join_it, NULL, NULL);
	forking_arena(case_options(_i));
	ck_assert_int_eq(pthread_create(&prep.worker, NULL, works, NULL), 0);
	pthread_barrier_wait(&prep.meet);
	prep.on = true;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(cowarena_alloc(prep.arena, 50) ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
	cowarena_destroy(prep.arena);
}
END_TEST

/* With two threads at once: does each block have one owner? */
static void *fills(void *arg)
{
	static _Thread_local char *p[2000];
	char mark = *(char *)arg;

	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 2000; i++)
			*(p[i] = cowarena_alloc(prep.arena, 48)) = mark;
		for (int i = 0; i < 2000; i++) {
			if (*p[i] != mark)
				_exit(1);
			cowarena_free(prep.arena, p[i]);
		}
	}
	return NULL;
}

static struct local *mine(void)
{
	heap_lock(prep.arena);
	struct local *l = local_mine(prep.arena);
	heap_unlock(prep.arena);
	return l;
}

static void *attaches(void *arg)
{
	if (cowarena_after_fork_in_child())
		_exit(2);
	prep.local = mine();
	pthread_barrier_wait(&prep.meet);
	pthread_barrier_wait(
	    &prep.meet); /* a thread that has ended leaves its local heap to others */
	return fills(arg);
}

/* It is not the thread that forked which asks for the arena. */
START_TEST(attached_by_another)
{
	struct cowarena_options o = COWARENA_OPTIONS_INIT;
	int status;

	if (sanitized()) {
		printf("SKIP: sanitizers do not survive a fork() with threads\n");
		return;
	}
	/* Where no stack of a thread comes to lie in the child. */
	o.base = (void *)0x200000000000; /* NOLINT(performance-no-int-to-ptr) */
	prep.arena = cowarena_create(&o);
	ck_assert_msg(prep.arena != NULL, "%s", cowarena_errmsg());
	pthread_barrier_init(&prep.meet, NULL, 2);
	*(char *)cowarena_alloc(prep.arena, 48) = 1;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		char mark[2] = {1, 2};
		if (pthread_create(&prep.worker, NULL, attaches, &mark[0]))
			_exit(3);
		pthread_barrier_wait(&prep.meet);
		/* They may not meet in one, on a busy machine; so look at it too. */
		if (prep.local && mine() == prep.local)
			_exit(5);
		pthread_barrier_wait(&prep.meet);
		fills(&mark[1]);
		pthread_join(prep.worker, NULL);
		_exit(cowarena_heap_check(prep.arena, NULL) ? 4 : 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
	cowarena_destroy(prep.arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("local heaps");
	TCase *tc = tcase_create("threads"), *again = tcase_create("again"),
	      *forks = tcase_create("fork");

	tcase_add_loop_test(tc, snapshots_of_a_crowd, 0, CASES);
	tcase_add_loop_test(tc, without_membarrier, 0, 4);
	tcase_add_loop_test(tc, without_keys, 0, CASES);
	tcase_add_loop_test(tc, freed_by_another, 0, CASES);
	tcase_add_loop_test(tc, on_their_way, 0, CASES);
	tcase_add_test(tc, freed_while_its_slab_moves);
	tcase_add_test(tc, snapshots_at_each_instruction);
	tcase_add_test(tc, freed_twice);
	tcase_add_loop_test(tc, on_their_way_to_nobody, 0, CASES);
	tcase_add_loop_test(tc, one_after_the_other, 0, CASES);
	tcase_add_loop_test(tc, more_than_there_are, 0, CASES);
	tcase_add_loop_test(tc, to_before_the_thread, 0, CASES);
	tcase_add_loop_test(forks, in_a_child, 0, CASES);
	tcase_add_loop_test(forks, a_local_heap_as_late_as_can_be, 0, CASES);
	tcase_add_loop_test(forks, joined_before_the_fork, 0, CASES);
	tcase_add_test(forks, attached_by_another);
	suite_add_tcase(suite, tc);
	suite_add_tcase(suite, forks);
	tcase_add_loop_test(again, the_same_again, 0, CASES);
	tcase_add_loop_test(again, the_same_beside_others, 0, CASES);
	suite_add_tcase(suite, again);
	return run_suite(suite);
}
