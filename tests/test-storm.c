/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-storm.c - everything at once.
 *
 * In each phase, writers, readers, takers and allocators run together. Then all stop, and the heap
 * is compared with their records; one of several threads rolls back, and the next phase begins.
 * There are signals too: handlers that write to the arena, small alternate stacks, threads that
 * block all signals they can.
 */
#include "config.h"

#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EACH 4 /* threads of each kind */
#define PAGES_EACH 48
#define PAGES ((size_t)EACH * PAGES_EACH)
#define WORDS 8
#define QUIET 16 /* pages that are written between phases only */
#define SLOTS 10 /* snapshots that are shared */
#define BLOCKS 24
#define LIMIT 150 /* pages, in an arena with a limit */

typedef _Atomic uint64_t word;

/* A thread's blocks: in the arena, so that it rolls back together with them. */
struct entry {
	_Atomic(unsigned char *) block;
	_Atomic size_t size;
};

struct slot {
	cowarena_snapshot *snap;
	unsigned users;
	uint64_t phase, hash;
};

struct storm {
	cowarena *arena;
	bool limited;    /* snapshots may be spoiled */
	bool take_fails; /* engine eager at the limit */
	size_t turns;    /* of each thread, in a phase */
	pthread_barrier_t barrier;
	bool quit;
	uint64_t phase;

	word *page[PAGES]; /* WORDS each; page i is of writer i / PAGES_EACH */
	word *quiet[QUIET];
	struct entry *entries; /* EACH * BLOCKS */
	uint64_t model[PAGES][WORDS];

	pthread_mutex_t lock; /* of the slots */
	struct slot slot[SLOTS];
	struct slot base; /* taken between the phases */
	uint64_t base_model[PAGES][WORDS];

	_Atomic uint64_t taken, read, views, stale, rolled;
};

struct thread {
	pthread_t id;
	struct storm *storm;
	unsigned number; /* of its kind */
	uint64_t random;
	void (*turn)(struct thread *thread);
};

static void nap(long ns)
{
	nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static uint64_t draw(struct thread *t, uint64_t n)
{
	return rng(&t->random) % n;
}

/* Whether the limit may be the reason. */
static bool spoiled(struct storm *storm, const char *what)
{
	if (!storm->limited || (errno != ESTALE && errno != ENOMEM))
		ck_abort_msg("%s: errno %d, %s", what, errno, cowarena_errmsg());
	atomic_fetch_add(&storm->stale, 1);
	return true;
}

/* ---- what a snapshot holds ---- */

struct content {
	uint64_t words[PAGES][WORDS];
	uint64_t quiet[QUIET];
};

static uint64_t hash_of(const struct content *c)
{
	uint64_t hash = 1;

	for (size_t i = 0; i < PAGES; i++)
		for (size_t j = 0; j < WORDS; j++)
			hash = (hash ^ c->words[i][j]) * 0x9e3779b97f4a7c15u;
	return hash;
}

static bool read_snapshot(struct storm *storm, cowarena_snapshot *s, struct content *c)
{
	for (size_t i = 0; i < PAGES; i++)
		if (cowarena_snapshot_read(s, c->words[i], (void *)storm->page[i],
					   sizeof c->words[i]))
			return !spoiled(storm, "read");
	for (size_t i = 0; i < QUIET; i++)
		if (cowarena_snapshot_read(s, &c->quiet[i], (void *)storm->quiet[i],
					   sizeof c->quiet[i]))
			return !spoiled(storm, "read");
	return true;
}

static bool read_view(struct storm *storm, cowarena_snapshot *s, unsigned flags, struct content *c)
{
	cowarena_view *v = cowarena_view_open(s, flags);

	if (!v)
		return !spoiled(storm, "opening a view");
	for (size_t i = 0; i < PAGES; i++) {
		void *at = cowarena_view_at(v, (void *)storm->page[i]);
		memcpy(c->words[i], at, sizeof c->words[i]);
		if (flags)
			memset(at, 0xee, sizeof c->words[i]);
	}
	for (size_t i = 0; i < QUIET; i++)
		c->quiet[i] = *(uint64_t *)cowarena_view_at(v, (void *)storm->quiet[i]);
	if (cowarena_view_close(v))
		return !spoiled(storm, "closing a view");
	atomic_fetch_add(&storm->views, 1);
	return true;
}

static void check_quiet(const struct content *c, uint64_t phase)
{
	for (size_t i = 0; i < QUIET; i++)
		if (c->quiet[i] != phase * QUIET + i)
			ck_abort_msg("a snapshot of phase %llu: quiet page %zu holds %llu",
				     (unsigned long long)phase, i, (unsigned long long)c->quiet[i]);
}

/* Pinned, or nobody else's. By memcpy or by a view, it is what it was. */
static void check_snapshot(struct thread *t, const struct slot *slot)
{
	struct storm *storm = t->storm;
	struct content *c = malloc(sizeof *c);
	uint64_t way = draw(t, 4);
	bool good = way < 2 ? read_snapshot(storm, slot->snap, c)
			    : read_view(storm, slot->snap, way == 2 ? COWARENA_VIEW_PRIVATE : 0, c);

	if (good) {
		check_quiet(c, slot->phase);
		if (hash_of(c) != slot->hash)
			ck_abort_msg("a snapshot of phase %llu has changed (%s)",
				     (unsigned long long)slot->phase, way < 2 ? "read" : "view");
		atomic_fetch_add(&storm->read, 1);
	}
	free(c);
}

/* ---- the four kinds ---- */

static void writer_turn(struct thread *t)
{
	struct storm *storm = t->storm;

	for (int i = 0; i < 100; i++) {
		size_t page = t->number * PAGES_EACH + draw(t, PAGES_EACH), at = draw(t, WORDS);
		uint64_t value = rng(&t->random);
		if (value % 64 == 0 &&
		    cowarena_prepare_write(storm->arena, (void *)storm->page[page], 8))
			ck_abort_msg("%s", cowarena_errmsg());
		atomic_store_explicit(&storm->page[page][at], value, memory_order_relaxed);
		storm->model[page][at] = value;
	}
}

static int no_matter(void *ctx, const void *start, size_t len)
{
	(void)ctx, (void)start, (void)len;
	return 0;
}

static void reader_turn(struct thread *t)
{
	struct storm *storm = t->storm;
	struct slot *slot = &storm->slot[draw(t, SLOTS)], pinned;

	pthread_mutex_lock(&storm->lock);
	slot->users++;
	pinned = *slot;
	pthread_mutex_unlock(&storm->lock);
	if (pinned.snap) {
		check_snapshot(t, &pinned);
		if (draw(t, 8) == 0 && cowarena_diff(pinned.snap, NULL, no_matter, NULL))
			spoiled(storm, "diff");
	}
	pthread_mutex_lock(&storm->lock);
	slot->users--;
	pthread_mutex_unlock(&storm->lock);
}

static void release(cowarena_snapshot *s)
{
	if (cowarena_snapshot_release(s))
		ck_abort_msg("release: %s", cowarena_errmsg());
}

static struct slot take(struct storm *storm)
{
	struct slot new = {.snap = take_snapshot(storm->arena, 0), .phase = storm->phase};
	struct content *c = malloc(sizeof *c);

	if (!new.snap) {
		if (!storm->take_fails)
			ck_abort_msg("take: %s", cowarena_errmsg());
		spoiled(storm, "take");
	} else if (read_snapshot(storm, new.snap, c)) {
		check_quiet(c, new.phase);
		new.hash = hash_of(c);
	} else {
		release(new.snap);
		new.snap = NULL;
	}
	free(c);
	atomic_fetch_add(&storm->taken, new.snap != NULL);
	return new;
}

/* Fill an empty place, or empty one that nobody is looking at. */
static void taker_turn(struct thread *t)
{
	struct storm *storm = t->storm;
	struct slot *slot = &storm->slot[draw(t, SLOTS)];
	struct slot new = take(storm);
	cowarena_snapshot *old = new.snap;

	pthread_mutex_lock(&storm->lock);
	if (slot->users == 0) {
		old = slot->snap;
		new.users = 0;
		*slot = new;
	}
	pthread_mutex_unlock(&storm->lock);
	if (draw(t, 2))
		nap(20000);
	release(old);
}

static unsigned char filling(const struct entry *e, size_t i)
{
	return (unsigned char)(((uintptr_t)e >> 4) * 31 + i);
}

static void check_block(const struct entry *e)
{
	const unsigned char *block = atomic_load(&e->block);
	size_t size = atomic_load(&e->size);

	for (size_t i = 0; i < size && block; i += 53)
		if (block[i] != filling(e, i))
			ck_abort_msg("byte %zu of a block of %zu has changed", i, size);
}

/* At every instant an entry that is set has a block that is filled. */
static void allocator_turn(struct thread *t)
{
	struct storm *storm = t->storm;
	struct entry *e = &storm->entries[t->number * BLOCKS + draw(t, BLOCKS)];
	unsigned char *block = atomic_load(&e->block);

	if (block) {
		check_block(e);
		atomic_store(&e->block, NULL);
		cowarena_free(storm->arena, block);
	} else {
		size_t size = draw(t, 8) ? draw(t, 500) + 1 : draw(t, 20000) + 1;
		block = cowarena_alloc(storm->arena, size);
		if (!block)
			ck_abort_msg("alloc: %s", cowarena_errmsg());
		for (size_t i = 0; i < size; i += 53)
			block[i] = filling(e, i);
		atomic_store(&e->size, size);
		atomic_store(&e->block, block);
	}
	if (draw(t, 1000) == 0)
		cowarena_compact(storm->arena);
}

/* ---- between the phases: nobody else is running ---- */

static void check_model(struct storm *storm, uint64_t phase, const char *when)
{
	for (size_t i = 0; i < PAGES; i++)
		for (size_t j = 0; j < WORDS; j++)
			if (atomic_load(&storm->page[i][j]) != storm->model[i][j])
				ck_abort_msg("phase %llu, %s: word %zu of page %zu",
					     (unsigned long long)phase, when, j, i);
	for (size_t i = 0; i < QUIET; i++)
		if (atomic_load(storm->quiet[i]) != phase * QUIET + i)
			ck_abort_msg("phase %llu, %s: quiet page %zu", (unsigned long long)phase,
				     when, i);
	for (size_t i = 0; i < EACH * BLOCKS; i++)
		check_block(&storm->entries[i]);
}

static void set_quiet(struct storm *storm)
{
	for (size_t i = 0; i < QUIET; i++)
		atomic_store(storm->quiet[i], storm->phase * QUIET + i);
}

/* What a rollback to this one must give goes to *model; false if it is spoiled. */
static bool expect(struct storm *storm, const struct slot *to, uint64_t model[PAGES][WORDS])
{
	struct content *c = malloc(sizeof *c);
	bool good = read_snapshot(storm, to->snap, c);

	memcpy(model, c->words, sizeof c->words);
	free(c);
	if (good && to == &storm->base && memcmp(model, storm->base_model, sizeof storm->model))
		ck_abort_msg("the snapshot before the phase has changed");
	return good;
}

static void roll_back(struct thread *t)
{
	struct storm *storm = t->storm;
	struct slot *to = draw(t, 2) ? &storm->base : &storm->slot[draw(t, SLOTS)];
	uint64_t(*model)[WORDS] = malloc(sizeof storm->model);

	if (to->snap && expect(storm, to, model)) {
		if (cowarena_rollback(storm->arena, to->snap)) {
			spoiled(storm, "rollback"); /* and nothing has changed */
		} else {
			memcpy(storm->model, model, sizeof storm->model);
			check_model(storm, to->phase, "rolled back");
			set_quiet(storm);
			atomic_fetch_add(&storm->rolled, 1);
		}
	}
	check_model(storm, storm->phase, "after the rollback");
	free(model);
}

static void begin_phase(struct storm *storm)
{
	storm->phase++;
	set_quiet(storm);
	release(storm->base.snap);
	storm->base = take(storm);
	memcpy(storm->base_model, storm->model, sizeof storm->model);
}

/* ---- the threads ---- */

static void *run_thread(void *arg)
{
	struct thread *t = arg;
	struct storm *storm = t->storm;

	for (;;) {
		pthread_barrier_wait(&storm->barrier);
		if (storm->quit)
			return NULL;
		for (size_t i = 0; t->turn && i < storm->turns; i++)
			t->turn(t);
		pthread_barrier_wait(&storm->barrier);
		/* The main thread compares. */
		pthread_barrier_wait(&storm->barrier);
		if (!t->turn && storm->phase % EACH == t->number)
			roll_back(t);
		pthread_barrier_wait(&storm->barrier);
	}
}

static void run_phase(struct storm *storm)
{
	begin_phase(storm);
	pthread_barrier_wait(&storm->barrier);
	pthread_barrier_wait(&storm->barrier);
	check_model(storm, storm->phase, "at its end");
	pthread_barrier_wait(&storm->barrier);
	pthread_barrier_wait(&storm->barrier);
}

static void place(struct storm *storm, bool small)
{
	size_t pages = small ? PAGES + QUIET : 3 * chunk_pages();
	char *p = small ? page_block(storm->arena, pages) : chunk_block(storm->arena, 3);
	uint64_t random = 5;

	memset(p, 0, pages * page_size());
	for (size_t i = 0; i < PAGES + QUIET; i++) {
		/* Neighbours are of different writers. */
		size_t at = i * (pages / (PAGES + QUIET)), mine = i / EACH;
		void *page = p + at * page_size() + rng(&random) % (page_size() / 64) * 64;
		if (i < PAGES)
			storm->page[i % EACH * PAGES_EACH + mine] = page;
		else
			storm->quiet[i - PAGES] = page;
	}
	storm->entries = cowarena_calloc(storm->arena, EACH * BLOCKS, sizeof *storm->entries);
	ck_assert_ptr_nonnull(storm->entries);
}

static void (*const turns[])(struct thread *) = {writer_turn, reader_turn, taker_turn,
						 allocator_turn, NULL};
#define THREADS (sizeof turns / sizeof *turns * EACH)

static void run_phases(struct storm *storm, size_t phases)
{
	struct thread thread[THREADS];

	ck_assert_int_eq(pthread_barrier_init(&storm->barrier, NULL, THREADS + 1), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		thread[i] = (struct thread){
		    .storm = storm, .number = i % EACH, .random = i + 1, .turn = turns[i / EACH]};
		ck_assert_int_eq(pthread_create(&thread[i].id, NULL, run_thread, &thread[i]), 0);
	}
	for (size_t i = 0; i < phases; i++)
		run_phase(storm);
	storm->quit = true;
	pthread_barrier_wait(&storm->barrier);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i].id, NULL);
	pthread_barrier_destroy(&storm->barrier);
}

static void finish(struct storm *storm)
{
	for (size_t i = 0; i < SLOTS; i++)
		release(storm->slot[i].snap);
	release(storm->base.snap);
	ck_assert_uint_eq(held_at_rest(storm->arena), 0);
	ck_assert_uint_eq(stats_of(storm->arena).snapshots_live, 0);
	cowarena_destroy(storm->arena);
}

enum limit { NO_LIMIT, FAIL_NEWEST, DROP_OLDEST, LIMITS };

static cowarena *limited_arena(int kind, enum limit limit)
{
	struct cowarena_options o = case_options(kind);

	if (limit == NO_LIMIT)
		return arena_case(kind);
	/* Engine eager holds the whole heap, more than once. */
	o.held_limit = (kind == CASE_EAGER ? 10 : 1) * LIMIT * page_size();
	o.limit_policy =
	    limit == DROP_OLDEST ? COWARENA_LIMIT_DROP_OLDEST : COWARENA_LIMIT_FAIL_NEWEST;
	o.flags |= limit == DROP_OLDEST ? COWARENA_NO_HELPER : 0;
	return cowarena_create(&o);
}

static void storm(int kind, enum limit limit, size_t phases, struct storm *sum)
{
	struct storm *s = calloc(1, sizeof *s);

	s->arena = limited_arena(kind, limit);
	ck_assert_msg(s->arena != NULL, "%s", cowarena_errmsg());
	s->limited = limit != NO_LIMIT;
	s->take_fails = s->limited && kind == CASE_EAGER;
	s->turns = scaled(30, 50, 8);
	pthread_mutex_init(&s->lock, NULL);
	place(s, kind == CASE_EAGER);
	run_phases(s, phases);
	finish(s);
	sum->taken += s->taken;
	sum->read += s->read;
	sum->views += s->views;
	sum->stale += s->stale;
	sum->rolled += s->rolled;
	sum->phase += phases;
	if (limit == NO_LIMIT)
		ck_assert_uint_gt(s->read, 0);
	free(s);
}

/* Each storm is an arena of its own, as one of these: without a limit, and with both policies at
   it. */
START_TEST(everything_at_once)
{
	struct storm *sum = calloc(1, sizeof *sum);
	double end = processor_seconds() + (double)scaled(0, 120, 0);

	for (unsigned i = 0; i < LIMITS || processor_seconds() < end; i++)
		storm(_i, i % LIMITS, scaled(4, 40, 3), sum);
	printf("%s: %llu phases: %llu snapshots, read %llu times, %llu of these by views; %llu "
	       "refused "
	       "or spoiled; %llu rollbacks\n",
	       case_name(_i), (unsigned long long)sum->phase, (unsigned long long)sum->taken,
	       (unsigned long long)sum->read, (unsigned long long)sum->views,
	       (unsigned long long)sum->stale, (unsigned long long)sum->rolled);
	ck_assert_uint_gt(sum->rolled, 0);
	free(sum);
}
END_TEST

/* ---- signals ---- */

#define CELLS 16 /* of each thread, one a page, stored in order as in test-torn.c */

enum style {
	PLAIN,     /* interrupted wherever it is, and by one handler in another */
	SMALL,     /* handlers run on 16 KiB */
	DEAF,      /* all signals are blocked, but those by which faults come */
	STONE_DEAF /* these too: only where a thread resolves faults */
};

struct squall {
	cowarena *arena;
	unsigned threads;
	bool noisy;
	word *cell[STONE_DEAF + 1][CELLS];
	word *tick[CELLS]; /* added to by handlers */
	pthread_t thread[STONE_DEAF + 1];
	_Atomic unsigned ready;
	_Atomic bool stop, over;
};

struct victim {
	struct squall *squall;
	enum style style;
	uint64_t turns;
};

static struct squall *squall_now; /* for the handlers */
static _Atomic uint64_t begun, ended;
static _Atomic uint64_t by_signal[3], nested;
static _Thread_local volatile sig_atomic_t depth;

/* It faults, most of the time; and others come in the midst of it. */
static void on_noise(int signo)
{
	int e = errno;

	atomic_fetch_add(&nested, depth++ > 0);
	for (int i = 0; i < 3; i++) {
		uint64_t n = atomic_fetch_add(&begun, 1);
		atomic_fetch_add(squall_now->tick[n * 7 % CELLS], 1);
		atomic_fetch_add(&ended, 1);
	}
	atomic_fetch_add(&by_signal[signo == SIGALRM ? 0 : signo == SIGUSR1 ? 1 : 2], 1);
	depth--;
	errno = e;
}

/* Below it is a page that kills. */
static char *small_stack(stack_t *ss)
{
	char *guard = mmap(NULL, page_size() + 16384, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert(guard != MAP_FAILED);
	ck_assert_int_eq(mprotect(guard, page_size(), PROT_NONE), 0);
	*ss = (stack_t){.ss_sp = guard + page_size(), .ss_size = 16384};
	memset(ss->ss_sp, 0x5a, ss->ss_size);
	ck_assert_int_eq(sigaltstack(ss, NULL), 0);
	return guard;
}

static size_t used_of(const stack_t *ss)
{
	size_t untouched = 0;

	while (untouched < ss->ss_size && ((char *)ss->ss_sp)[untouched] == 0x5a)
		untouched++;
	return ss->ss_size - untouched;
}

static void set_mask(enum style style)
{
	sigset_t mask;

	sigemptyset(&mask);
	if (style >= DEAF)
		sigfillset(&mask);
	if (style == DEAF) {
		sigdelset(&mask, SIGSEGV);
		sigdelset(&mask, SIGBUS);
	}
	/* One handler of the application, and ours in it, is all that 16 KiB are sure to hold. */
	if (style == SMALL) {
		sigaddset(&mask, SIGALRM);
		sigaddset(&mask, SIGUSR1);
	}
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	/* The C library keeps two signals for itself, and leaves them out. */
	uint64_t all = UINT64_MAX;
	if (style == STONE_DEAF)
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
}

static void *suffer(void *arg)
{
	struct victim *v = arg;
	struct squall *q = v->squall;
	stack_t ss = {.ss_flags = SS_DISABLE};
	char *guard = v->style == SMALL && q->noisy ? small_stack(&ss) : NULL;

	set_mask(v->style);
	atomic_fetch_add(&q->ready, 1);
	while (!atomic_load(&q->stop)) {
		v->turns++;
		for (size_t i = 0; i < CELLS; i++)
			atomic_store(q->cell[v->style][i], v->turns);
		if (v->turns % 1024 == 0)
			nap(50000);
	}
	/* Whoever sends signals must find the thread. */
	while (!atomic_load(&q->over))
		nap(1000000);
	if (guard) {
		set_mask(STONE_DEAF);
		if (used_of(&ss) == 0 || used_of(&ss) == ss.ss_size)
			ck_abort_msg("%zu bytes of the alternate stack were used", used_of(&ss));
		ss.ss_flags = SS_DISABLE;
		sigaltstack(&ss, NULL);
		munmap(guard, page_size() + 16384);
	}
	return NULL;
}

static void *make_noise(void *arg)
{
	struct squall *q = arg;

	set_mask(DEAF);
	while (atomic_load(&q->ready) < q->threads)
		nap(100000);
	for (unsigned i = 0; !atomic_load(&q->stop); i++) {
		pthread_kill(q->thread[PLAIN], i % 3 ? SIGUSR1 : SIGUSR2);
		pthread_kill(q->thread[SMALL], SIGUSR2);
		nap(100000);
	}
	return NULL;
}

/* Interrupting, also each other, also in the thread that takes snapshots. */
static void start_noise(void)
{
	struct sigaction sa = {.sa_handler = on_noise, .sa_flags = SA_RESTART | SA_ONSTACK};
	struct itimerval period = {{0, 1000}, {0, 1000}};

	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &period, NULL), 0);
}

static void stop_noise(void)
{
	ck_assert_int_eq(setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0}}, NULL), 0);
}

static uint64_t past(cowarena_snapshot *s, word *cell)
{
	uint64_t value;

	if (cowarena_snapshot_read(s, &value, (void *)cell, sizeof value))
		ck_abort_msg("%s", cowarena_errmsg());
	return value;
}

static uint64_t ticks_in(struct squall *q, cowarena_snapshot *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < CELLS; i++)
		sum += past(s, q->tick[i]);
	return sum;
}

static void check_order(struct squall *q, cowarena_snapshot *s)
{
	for (unsigned t = 0; t < q->threads; t++) {
		uint64_t first = past(s, q->cell[t][0]), last = first;
		for (size_t i = 1; i < CELLS; i++) {
			uint64_t next = past(s, q->cell[t][i]);
			if (next > last || first - next > 1)
				ck_abort_msg("thread %u: cell %zu is %llu after %llu", t, i,
					     (unsigned long long)next, (unsigned long long)last);
			last = next;
		}
	}
}

static void take_in_the_squall(struct squall *q, size_t snapshots)
{
	cowarena_snapshot *kept[3] = {0};
	uint64_t held[3] = {0};

	for (size_t i = 0; i < snapshots; i++) {
		size_t k = i * 7 / 3 % 3;
		if (kept[k] && ticks_in(q, kept[k]) != held[k])
			ck_abort_msg("a snapshot has changed");
		if (cowarena_snapshot_release(kept[k]))
			ck_abort_msg("%s", cowarena_errmsg());
		uint64_t before = atomic_load(&ended);
		kept[k] = take_snapshot(q->arena, 0);
		if (!kept[k])
			ck_abort_msg("%s", cowarena_errmsg());
		uint64_t after = atomic_load(&begun);
		held[k] = ticks_in(q, kept[k]);
		if (held[k] < before || held[k] > after)
			ck_abort_msg("%llu ticks, not %llu to %llu", (unsigned long long)held[k],
				     (unsigned long long)before, (unsigned long long)after);
		check_order(q, kept[k]);
	}
	for (size_t k = 0; k < 3; k++)
		cowarena_snapshot_release(kept[k]);
}

static void place_squall(struct squall *q, bool small)
{
	size_t cells = (STONE_DEAF + 2) * CELLS, stride = small ? 1 : 13;
	char *p = page_block(q->arena, cells * stride);
	size_t n = 0;

	memset(p, 0, cells * stride * page_size());
	for (size_t i = 0; i < CELLS; i++) {
		for (size_t t = 0; t <= STONE_DEAF; t++)
			q->cell[t][i] = (void *)(p + n++ * stride * page_size());
		q->tick[i] = (void *)(p + n++ * stride * page_size());
	}
}

/* Two frames of signals must fit into 16 KiB, and some calls. */
static bool frames_are_small(void)
{
	long frame = sysconf(_SC_MINSIGSTKSZ);

	return frame <= 0 || 2 * frame + 4096 <= 16384;
}

/* Whether each signal has come often. */
static bool loud_enough(const struct squall *q, uint64_t goal)
{
	for (int i = 0; i < 3 && q->noisy; i++)
		if (atomic_load(&by_signal[i]) < goal)
			return false;
	return true;
}

START_TEST(signals)
{
	struct squall q = {.arena = arena_case(_i), .noisy = !thread_sanitized()};
	struct victim v[STONE_DEAF + 1];
	pthread_t noise;

	q.threads = cowarena_syscall_safe(q.arena) ? STONE_DEAF + 1 : STONE_DEAF;
	if (!q.noisy)
		printf("SKIP: ThreadSanitizer runs signal handlers late, with SIGSEGV blocked\n");
	if (q.noisy && !frames_are_small()) {
		printf("SKIP: this processor's signal frames do not fit into 16 KiB\n");
		q.noisy = false;
	}
	place_squall(&q, _i == CASE_EAGER);
	squall_now = &q;
	for (unsigned i = 0; i < q.threads; i++) {
		v[i] = (struct victim){.squall = &q, .style = i};
		ck_assert_int_eq(pthread_create(&q.thread[i], NULL, suffer, &v[i]), 0);
	}
	if (q.noisy) {
		start_noise();
		ck_assert_int_eq(pthread_create(&noise, NULL, make_noise, &q), 0);
	}
	do
		take_in_the_squall(&q, scaled(50, 500, 50));
	while (!loud_enough(&q, scaled(100, 20000, 20)));
	if (q.noisy)
		stop_noise();
	atomic_store(&q.stop, true);
	if (q.noisy)
		pthread_join(noise, NULL);
	atomic_store(&q.over, true);
	for (unsigned i = 0; i < q.threads; i++) {
		pthread_join(q.thread[i], NULL);
		ck_assert_uint_gt(v[i].turns, 0);
		for (size_t j = 0; j < CELLS; j++)
			ck_assert_uint_eq(atomic_load(q.cell[i][j]), v[i].turns);
	}
	uint64_t sum = 0;
	for (size_t i = 0; i < CELLS; i++)
		sum += atomic_load(q.tick[i]);
	ck_assert_uint_eq(sum, atomic_load(&ended)); /* none was lost */
	ck_assert_uint_eq(held_at_rest(q.arena), 0);
	printf("%s: %llu snapshots, %llu signals, %llu of them in the handler of another\n",
	       case_name(_i), (unsigned long long)stats_of(q.arena).snapshots_taken,
	       (unsigned long long)sum / 3, (unsigned long long)atomic_load(&nested));
	cowarena_destroy(q.arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("storm");

	for (int i = 0; i < CASES; i++) {
		TCase *tc = tcase_create(case_name(i));
		tcase_add_loop_test(tc, everything_at_once, i, i + 1);
		tcase_add_loop_test(tc, signals, i, i + 1);
		suite_add_tcase(suite, tc);
	}
	return run_suite(suite);
}
