/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-storm-fork.c - forks at any time.
 *
 * Threads allocate, resize, free, hand blocks to each other, write, let system calls write, take
 * and read snapshots, open views, trim and compact, in two arenas; and any of them forks at any
 * time. A child finds every block that was complete at the fork, and the block of the thread that
 * forked exactly as that thread knows it. The child works, takes snapshots, rolls back, sometimes
 * forks again, and leaves. Between phases, while all others stand still, a thread rolls back.
 *
 * The test's record of a block lies in the arena beside the block, so that both belong to the same
 * instant.
 */
#include "config.h"

#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define ARENAS 2
#define THREADS 4
#define ENTRIES 24 /* of each thread, in each arena */
#define BOXES 8    /* by which blocks change hands */
#define KEPT 3     /* snapshots that a thread holds */
#define STRIDE 61  /* between the words of a block that are filled */
#define LIMIT ((size_t)8 << 20)

/* Whole while `seed` is not 0: then the block holds what the seed says. */
struct entry {
	unsigned char *_Atomic block;
	_Atomic size_t size;
	_Atomic uint64_t seed;
};

/* In each arena. */
struct root {
	struct entry entry[THREADS + 1][ENTRIES]; /* the last ones are the main thread's */
	void *_Atomic box[BOXES];
};

/* What a thread knows of its entries, outside of the arenas. */
struct known {
	unsigned char *block;
	size_t size;
	uint64_t seed;
};

struct storm {
	cowarena *arena[ARENAS];
	struct root *root[ARENAS];
	bool limited, safe; /* a limit of held memory; system calls may write */
	size_t turns;
	pthread_barrier_t barrier;
	bool quit;
	_Atomic uint64_t forks, lost, rolled;
};

struct thread {
	pthread_t id;
	struct storm *storm;
	unsigned number;
	uint64_t random;
	struct known known[ARENAS][ENTRIES];
	cowarena_snapshot *kept[ARENAS][KEPT];
	int depth; /* of forks: 0 in the first process */
};

/* Of this process: in a child nothing but this is safe everywhere. */
#define DEMAND(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			dprintf(STDERR_FILENO, "line %d: %s (errno %d, %s)\n", __LINE__,           \
				#condition, errno, cowarena_errmsg());                             \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static uint64_t draw(struct thread *t, uint64_t n)
{
	return rng(&t->random) % n;
}

/* ---- blocks ---- */

static unsigned char filling(uint64_t seed, size_t i)
{
	return (unsigned char)((seed >> 8) + i * 7 + (i >> 12));
}

static void fill(unsigned char *block, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i += STRIDE)
		block[i] = filling(seed, i);
}

static void check_filling(const unsigned char *block, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i += STRIDE)
		DEMAND(block[i] == filling(seed, i));
}

static size_t any_size(struct thread *t)
{
	uint64_t kind = draw(t, 64);

	if (kind < 40)
		return 1 + draw(t, 600);
	if (kind < 62)
		return 1 + draw(t, 100000);
	return CHUNK + draw(t, CHUNK);
}

static uint64_t any_seed(struct thread *t)
{
	return rng(&t->random) | 1;
}

/* By a system call, where these may. */
static void fill_by_pipe(unsigned char *block, size_t size, uint64_t seed)
{
	unsigned char bytes[2048];
	int fd[2];

	DEMAND(pipe(fd) == 0);
	for (size_t at = 0, n; at < size; at += n) {
		n = size - at < sizeof bytes ? size - at : sizeof bytes;
		for (size_t i = 0; i < n; i++)
			bytes[i] = filling(seed, at + i);
		DEMAND(write(fd[1], bytes, n) == (ssize_t)n);
		DEMAND(read(fd[0], block + at, n) == (ssize_t)n);
	}
	close(fd[0]);
	close(fd[1]);
}

static void write_entry(struct thread *t, struct entry *e, struct known *k, bool by_pipe)
{
	atomic_store(&e->seed, 0);
	k->seed = any_seed(t);
	if (by_pipe)
		fill_by_pipe(k->block, k->size, k->seed);
	else
		fill(k->block, k->size, k->seed);
	atomic_store(&e->seed, k->seed);
}

/* In the order in which an entry is always right or says that it is not. */
static void set_entry(struct thread *t, struct entry *e, struct known *k, void *block, size_t size)
{
	atomic_store(&e->seed, 0);
	atomic_store(&e->block, block);
	atomic_store(&e->size, size);
	k->block = block;
	k->size = size;
	if (block)
		write_entry(t, e, k, false);
}

static void allocation_turn(struct thread *t, unsigned a)
{
	cowarena *arena = t->storm->arena[a];
	size_t i = draw(t, ENTRIES), size = any_size(t);
	struct entry *e = &t->storm->root[a]->entry[t->number][i];
	struct known *k = &t->known[a][i];
	uint64_t way = draw(t, 4);

	if (k->block)
		check_filling(k->block, k->size, k->seed);
	if (!k->block) {
		void *block = cowarena_alloc(arena, size);
		DEMAND(block);
		set_entry(t, e, k, block, size);
	} else if (way == 0) {
		void *old = k->block;
		set_entry(t, e, k, NULL, 0);
		cowarena_free(arena, old);
	} else if (way == 1) {
		atomic_store(&e->seed, 0);
		unsigned char *block = cowarena_realloc(arena, k->block, size);
		DEMAND(block);
		check_filling(block, size < k->size ? size : k->size, k->seed);
		set_entry(t, e, k, block, size);
	} else {
		write_entry(t, e, k, way == 2 && t->storm->safe);
	}
	/* Blocks that are freed by others than had them. */
	void *mine = draw(t, 4) ? cowarena_alloc(arena, 1 + draw(t, 300)) : NULL;
	cowarena_free(arena, atomic_exchange(&t->storm->root[a]->box[draw(t, BOXES)], mine));
}

/* ---- snapshots ---- */

/* At the limit snapshots are given up. */
static bool given_up(struct thread *t)
{
	DEMAND(t->storm->limited && (errno == ESTALE || errno == ENOMEM));
	return true;
}

static void check_block_in(struct thread *t, cowarena_snapshot *s, const struct entry *e)
{
	unsigned char *block = atomic_load(&e->block), byte;
	uint64_t seed = atomic_load(&e->seed);
	size_t size = atomic_load(&e->size);

	for (size_t i = 0; seed && i < size; i += STRIDE * (1 + size / 1024)) {
		if (cowarena_snapshot_read(s, &byte, block + i, 1)) {
			given_up(t);
			return;
		}
		DEMAND(byte == filling(seed, i));
	}
}

static void read_snapshot(struct thread *t, unsigned a, cowarena_snapshot *s)
{
	struct entry entry[ENTRIES];
	size_t other = draw(t, THREADS);

	if (cowarena_snapshot_read(s, entry, t->storm->root[a]->entry[other], sizeof entry)) {
		given_up(t);
		return;
	}
	for (size_t i = 0; i < ENTRIES; i++)
		check_block_in(t, s, &entry[i]);
}

static bool is_whole(const unsigned char *at, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i += STRIDE)
		if (at[i] != filling(seed, i))
			return false;
	return true;
}

static void view_snapshot(struct thread *t, unsigned a, cowarena_snapshot *s)
{
	cowarena_view *v = cowarena_view_open(s, draw(t, 2) ? COWARENA_VIEW_PRIVATE : 0);
	bool whole = true;

	if (!v) {
		given_up(t);
		return;
	}
	const struct root *root = cowarena_view_at(v, t->storm->root[a]);
	for (size_t i = 0; i < ENTRIES; i++) {
		const struct entry *e = &root->entry[draw(t, THREADS)][i];
		uint64_t seed = atomic_load(&e->seed);
		size_t size = atomic_load(&e->size);
		/* Of a snapshot that was given up anything may be read: not followed. */
		const unsigned char *at = seed ? cowarena_view_at(v, atomic_load(&e->block)) : NULL;
		if (cowarena_view_check(v))
			break;
		if (at)
			whole &= is_whole(at, size, seed);
	}
	if (cowarena_view_close(v))
		given_up(t);
	else
		DEMAND(whole);
}

static void snapshot_turn(struct thread *t, unsigned a)
{
	cowarena_snapshot **s = &t->kept[a][draw(t, KEPT)];

	if (*s && draw(t, 2)) {
		draw(t, 2) ? read_snapshot(t, a, *s) : view_snapshot(t, a, *s);
		return;
	}
	DEMAND(cowarena_snapshot_release(*s) == 0);
	*s = take_snapshot(t->storm->arena[a], 0);
	DEMAND(*s || given_up(t));
}

static int no_matter(void *ctx, const void *start, size_t len)
{
	(void)ctx, (void)start, (void)len;
	return 0;
}

static void other_turn(struct thread *t, unsigned a)
{
	cowarena *arena = t->storm->arena[a];
	struct known *k = &t->known[a][draw(t, ENTRIES)];
	cowarena_snapshot *s = t->kept[a][draw(t, KEPT)];

	switch (draw(t, 5)) {
	case 0:
		DEMAND(cowarena_compact(arena) == 0);
		break;
	case 1:
		cowarena_trim(arena);
		break;
	case 2:
		DEMAND(!k->block || cowarena_prepare_write(arena, k->block, k->size) == 0);
		break;
	case 3:
		DEMAND(stats_of(arena).live_bytes > 0);
		break;
	default:
		if (s && cowarena_diff(s, NULL, no_matter, NULL))
			given_up(t);
	}
}

/* ---- children ---- */

static _Atomic bool no_copy; /* of an arena, in this process: the log has said so */

static void listen(void *ctx, const char *message)
{
	(void)ctx;
	if (strstr(message, "has no copy of an arena"))
		atomic_store(&no_copy, true);
	else
		dprintf(STDERR_FILENO, "%s\n", message);
}

static void check_all(struct storm *storm, unsigned a)
{
	for (size_t i = 0; i < (THREADS + 1) * ENTRIES; i++) {
		struct entry *e = &storm->root[a]->entry[i / ENTRIES][i % ENTRIES];
		if (atomic_load(&e->seed))
			check_filling(atomic_load(&e->block), atomic_load(&e->size),
				      atomic_load(&e->seed));
	}
}

static void check_mine(struct thread *t, unsigned a)
{
	for (size_t i = 0; i < ENTRIES; i++) {
		struct entry *e = &t->storm->root[a]->entry[t->number][i];
		const struct known *k = &t->known[a][i];
		DEMAND(atomic_load(&e->block) == k->block);
		DEMAND(!k->block || atomic_load(&e->seed) == k->seed);
	}
}

static void roll_back_and_forth(struct thread *t, unsigned a)
{
	struct known known[ENTRIES];
	cowarena_snapshot *s = take_snapshot(t->storm->arena[a], 0);

	memcpy(known, t->known[a], sizeof known);
	DEMAND(s || given_up(t));
	for (int i = 0; i < 10; i++)
		allocation_turn(t, a);
	if (s && cowarena_rollback(t->storm->arena[a], s) == 0)
		memcpy(t->known[a], known, sizeof known);
	else
		given_up(t);
	DEMAND(cowarena_snapshot_release(s) == 0);
	check_mine(t, a);
	check_all(t->storm, a);
}

static void turn(struct thread *t);

/* Those of the parent's say so, and are released like any other. */
static void drop_lost(struct thread *t)
{
	char byte;

	for (unsigned i = 0; i < ARENAS * KEPT; i++) {
		cowarena_snapshot **s = &t->kept[i / KEPT][i % KEPT];
		void *root = t->storm->root[i / KEPT];
		DEMAND(!*s || (cowarena_snapshot_read(*s, &byte, root, 1) && errno == ESTALE));
		if (draw(t, 2)) {
			DEMAND(cowarena_snapshot_release(*s) == 0);
			*s = NULL;
		}
	}
}

_Noreturn static void be_child(struct thread *t)
{
	uint64_t turns = draw(t, 30);

	if (atomic_load(&no_copy)) {
		DEMAND(t->storm->limited);
		_exit(77);
	}
	t->depth++;
	for (unsigned a = 0; a < ARENAS; a++) {
		check_mine(t, a);
		check_all(t->storm, a);
	}
	drop_lost(t);
	/* The lost ones are no good for it. */
	for (unsigned i = 0; i < ARENAS * KEPT; i++)
		t->kept[i / KEPT][i % KEPT] = NULL;
	while (turns--)
		turn(t);
	if (draw(t, 2))
		roll_back_and_forth(t, (unsigned)draw(t, ARENAS));
	if (draw(t, 8) == 0)
		for (unsigned a = 0; a < ARENAS; a++)
			cowarena_destroy(t->storm->arena[a]);
	_exit(0);
}

static void wait_for(struct thread *t, pid_t pid, int expected)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		DEMAND(errno == EINTR);
	if (t->storm->limited && WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		atomic_fetch_add(&t->storm->lost, 1);
		return;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != expected) {
		dprintf(STDERR_FILENO, "a child of thread %u, at depth %d, has ended with %#x\n",
			t->number, t->depth, (unsigned)status);
		abort();
	}
}

static void start_program(struct thread *t)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)"exit 5", NULL};
	pid_t pid;

	if (draw(t, 2)) {
		DEMAND(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0);
	} else {
		pid = fork();
		DEMAND(pid >= 0);
		if (pid == 0) {
			execv("/bin/sh", argv);
			_exit(1);
		}
	}
	wait_for(t, pid, 5);
}

static void fork_turn(struct thread *t)
{
	pid_t pid = fork();

	DEMAND(pid >= 0);
	if (pid == 0)
		be_child(t);
	atomic_fetch_add(&t->storm->forks, 1);
	wait_for(t, pid, 0);
	for (unsigned a = 0; a < ARENAS; a++)
		check_mine(t, a);
}

/* ---- the threads ---- */

static void turn(struct thread *t)
{
	unsigned a = (unsigned)draw(t, ARENAS);
	uint64_t kind = draw(t, 64);

	if (kind < 44)
		allocation_turn(t, a);
	else if (kind < 56)
		snapshot_turn(t, a);
	else if (kind < 61)
		other_turn(t, a);
	else if (kind == 61 && !sanitized())
		start_program(t);
	else if (!sanitized() && t->depth < 2)
		fork_turn(t);
}

/* What a rollback has brought back. */
static void learn(struct thread *t, unsigned a)
{
	for (size_t i = 0; i < ENTRIES; i++) {
		struct entry *e = &t->storm->root[a]->entry[t->number][i];
		t->known[a][i] = (struct known){atomic_load(&e->block), atomic_load(&e->size),
						atomic_load(&e->seed)};
	}
	check_mine(t, a);
}

/* Nobody else is running. All entries were whole when the snapshot was taken. */
static void between(struct thread *t, cowarena_snapshot *const base[ARENAS])
{
	if (sanitized())
		fork_turn(t); /* gcc's keep locks of their own, which a fork does not release */
	for (unsigned a = 0; a < ARENAS; a++) {
		check_all(t->storm, a);
		if (!base[a] || cowarena_rollback(t->storm->arena[a], base[a]))
			given_up(t);
		else
			atomic_fetch_add(&t->storm->rolled, 1);
		DEMAND(cowarena_heap_check(t->storm->arena[a], NULL) == 0);
		check_all(t->storm, a);
	}
}

static void *run_thread(void *arg)
{
	struct thread *t = arg;
	struct storm *storm = t->storm;

	for (;;) {
		pthread_barrier_wait(&storm->barrier);
		if (storm->quit)
			break;
		for (size_t i = 0; i < storm->turns; i++)
			turn(t);
		pthread_barrier_wait(&storm->barrier);
		/* The main thread rolls back, or not. */
		pthread_barrier_wait(&storm->barrier);
		for (unsigned a = 0; a < ARENAS; a++)
			learn(t, a);
	}
	for (unsigned i = 0; i < ARENAS * KEPT; i++)
		DEMAND(cowarena_snapshot_release(t->kept[i / KEPT][i % KEPT]) == 0);
	return NULL;
}

static void run_phases(struct storm *storm, struct thread *main_thread, size_t phases)
{
	for (size_t i = 0; i < phases; i++) {
		cowarena_snapshot *base[ARENAS];
		for (unsigned a = 0; a < ARENAS; a++) {
			base[a] = take_snapshot(storm->arena[a], 0);
			DEMAND(base[a] || given_up(main_thread));
		}
		pthread_barrier_wait(&storm->barrier);
		pthread_barrier_wait(&storm->barrier);
		between(main_thread, base);
		for (unsigned a = 0; a < ARENAS; a++)
			DEMAND(cowarena_snapshot_release(base[a]) == 0);
		pthread_barrier_wait(&storm->barrier);
	}
}

static void make_arenas(struct storm *storm, int kind)
{
	struct cowarena_options o = case_options(kind);

	o.flags |= COWARENA_FORK_COPY | forking_flags();
	o.held_limit = storm->limited ? LIMIT : 0;
	for (unsigned a = 0; a < ARENAS; a++) {
		o.limit_policy = a ? COWARENA_LIMIT_DROP_OLDEST : COWARENA_LIMIT_FAIL_NEWEST;
		storm->arena[a] = cowarena_create(&o);
		ck_assert_msg(storm->arena[a] != NULL, "%s", cowarena_errmsg());
		storm->root[a] = cowarena_calloc(storm->arena[a], 1, sizeof *storm->root[a]);
		ck_assert_ptr_nonnull(storm->root[a]);
	}
	storm->safe = cowarena_syscall_safe(storm->arena[0]);
}

static void storm(int kind, bool limited, size_t phases, uint64_t seed, struct storm *sum)
{
	struct storm s = {.limited = limited, .turns = scaled(60, 150, 30)};
	struct thread thread[THREADS + 1] = {0};

	make_arenas(&s, kind);
	ck_assert_int_eq(pthread_barrier_init(&s.barrier, NULL, THREADS + 1), 0);
	for (unsigned i = 0; i <= THREADS; i++)
		thread[i] = (struct thread){
		    .storm = &s, .number = i, .random = seed * (THREADS + 1) + i + 1};
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i].id, NULL, run_thread, &thread[i]), 0);
	run_phases(&s, &thread[THREADS], phases);
	s.quit = true;
	pthread_barrier_wait(&s.barrier);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i].id, NULL);
	pthread_barrier_destroy(&s.barrier);
	for (unsigned a = 0; a < ARENAS; a++) {
		ck_assert_uint_eq(stats_of(s.arena[a]).snapshots_live, 0);
		ck_assert_uint_eq(held_at_rest(s.arena[a]), 0);
		cowarena_destroy(s.arena[a]);
	}
	sum->forks += s.forks;
	sum->lost += s.lost;
	sum->rolled += s.rolled;
}

START_TEST(forks)
{
	struct storm *sum = calloc(1, sizeof *sum);
	uint64_t seed = seed_of_run(1012);

	if (!children_have_threads(_i))
		return;
	cowarena_set_log(listen, NULL);
	for (size_t i = 0; i < scaled(2, 12, 2); i++)
		storm(_i, i % 2, scaled(3, 10, 2), seed + i, sum);
	printf("%s: %llu forks, %llu of them without a copy, at the limit; %llu rollbacks\n",
	       case_name(_i), (unsigned long long)sum->forks, (unsigned long long)sum->lost,
	       (unsigned long long)sum->rolled);
	ck_assert_uint_gt(sum->forks, sum->lost);
	ck_assert_uint_gt(sum->rolled, 0);
	free(sum);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("storm-fork");

	for (int i = 0; i < CASES; i++) {
		TCase *tc = tcase_create(case_name(i));
		tcase_add_loop_test(tc, forks, i, i + 1);
		suite_add_tcase(suite, tc);
	}
	return run_suite(suite);
}
