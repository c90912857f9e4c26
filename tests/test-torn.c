/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-torn.c - a snapshot is one cut across all threads (I4).
 *
 * Reading a snapshot twice does not show that it was torn when it was taken. So the threads keep
 * patterns that hold at each instant, and not in a mixture of two:
 *
 *	writers  each stores v into 64 counters, one after the other, then v + 1, ...
 *	ring     a token goes round, and each thread counts before it hands it on
 *	bank     transfers under a lock outside the arena, the n-th of which everybody can work out
 *
 * Each counter has a page of its own, and the pages are shuffled over several chunks, so that
 * engine hybrid has cold and warm ones. COWARENA_TORN_SNAPSHOTS sets the number of snapshots for
 * each kind of arena (CK_RUN_CASE chooses one).
 */
#include "config.h"

#include "common.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define THREADS_MAX 8
#define COUNTERS 64 /* of each writer */
#define RINGS 4
#define ACCOUNTS 61
#define CELLS_MAX ((size_t)THREADS_MAX * COUNTERS)
#define CHUNKS 4
#define KEPT 6  /* snapshots alive, at most */
#define SLOW 24 /* cells that are read slowly */

struct world;

struct litmus {
	const char *name;
	size_t (*cells)(unsigned threads);
	size_t (*growing)(unsigned threads); /* how many of them, the first ones, never decrease */
	void (*act)(struct world *world, unsigned me, uint64_t *random, uint64_t turn);
	const char *(*torn)(struct world *world, const uint64_t *seen); /* NULL, or how */
};

struct world {
	const struct litmus *litmus;
	cowarena *arena;
	unsigned threads;
	size_t cells, growing;
	_Atomic uint64_t *cell[CELLS_MAX];
	char *scratch; /* SLOW + 1 pages */
	_Atomic bool stop;
	pthread_mutex_t lock;                  /* of the bank */
	uint64_t transfers, balance[ACCOUNTS]; /* the checker's own books */
};

static char reason[200];

/* The order of stores is the program's: no store passes an earlier one. */
static void store(struct world *world, size_t cell, uint64_t value)
{
	atomic_store_explicit(world->cell[cell], value, memory_order_release);
}

static uint64_t load(struct world *world, size_t cell)
{
	return atomic_load_explicit(world->cell[cell], memory_order_acquire);
}

static void nap(long ns)
{
	nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* ---- writers ---- */

static size_t writers_cells(unsigned threads)
{
	return (size_t)threads * COUNTERS;
}

static void writers_act(struct world *world, unsigned me, uint64_t *random, uint64_t turn)
{
	/* Some rest in the middle of a turn: then snapshots find it half done; and so long that
	   chunks become cold. */
	size_t rest = rng(random) % (4 * COUNTERS);
	long ns = rng(random) % 16 ? 50000 : 10000000;

	for (size_t i = 0; i < COUNTERS; i++) {
		store(world, me * COUNTERS + i, turn);
		if (i == rest)
			nap(ns);
	}
}

static const char *writers_torn(struct world *world, const uint64_t *seen)
{
	for (unsigned w = 0; w < world->threads; w++, seen += COUNTERS) {
		size_t bad = seen[0] - seen[COUNTERS - 1] > 1 ? COUNTERS - 1 : 0;
		for (size_t i = 1; i < COUNTERS && !bad; i++)
			if (seen[i] > seen[i - 1])
				bad = i;
		if (bad) {
			snprintf(reason, sizeof reason,
				 "writer %u: counter 0 is %llu, %zu is %llu, %zu is %llu", w,
				 (unsigned long long)seen[0], bad - 1,
				 (unsigned long long)seen[bad - 1], bad,
				 (unsigned long long)seen[bad]);
			return reason;
		}
	}
	return NULL;
}

/* ---- rings: first the counters of each ring, then the tokens ---- */

static size_t ring_cells(unsigned threads)
{
	return (size_t)RINGS * threads + RINGS;
}

static size_t ring_growing(unsigned threads)
{
	return (size_t)RINGS * threads;
}

static void ring_act(struct world *world, unsigned me, uint64_t *random, uint64_t turn)
{
	size_t tokens = (size_t)RINGS * world->threads;
	bool busy = false;

	(void)turn;
	for (size_t r = 0; r < RINGS; r++) {
		if (load(world, tokens + r) != me)
			continue;
		size_t mine = r * world->threads + me;
		store(world, mine, load(world, mine) + 1);
		if (rng(random) % 1024 == 0)
			nap(rng(random) % 16 ? 50000 : 10000000);
		store(world, tokens + r, (me + 1) % world->threads);
		busy = true;
	}
	if (!busy)
		sched_yield();
}

/* Those before the holder have counted this round, those behind it not yet. */
static const char *ring_torn(struct world *world, const uint64_t *seen)
{
	const uint64_t *token = seen + (size_t)RINGS * world->threads;

	for (size_t r = 0; r < RINGS; r++, seen += world->threads) {
		uint64_t round = seen[world->threads - 1], holder = token[r];
		bool bad = holder >= world->threads;
		/* The last one, when it holds the token, may have counted: then all others had
		   before. */
		if (holder == world->threads - 1 && seen[0] == round)
			round--;
		for (unsigned i = 0; i < world->threads && !bad; i++)
			bad = i == holder ? seen[i] - round > 1 : seen[i] != round + (i < holder);
		if (bad) {
			snprintf(
			    reason, sizeof reason,
			    "ring %zu: the token is at %llu, and counter 0 is %llu, that one %llu, "
			    "the last %llu",
			    r, (unsigned long long)holder, (unsigned long long)seen[0],
			    (unsigned long long)seen[holder % world->threads],
			    (unsigned long long)seen[world->threads - 1]);
			return reason;
		}
	}
	return NULL;
}

/* ---- bank ---- */

enum { STARTED, DONE, IN_FLIGHT, FIRST_ACCOUNT };

struct transfer {
	size_t from, to;
	uint64_t amount;
};

static size_t bank_cells(unsigned threads)
{
	(void)threads;
	return FIRST_ACCOUNT + ACCOUNTS;
}

static size_t bank_growing(unsigned threads)
{
	(void)threads;
	return IN_FLIGHT;
}

/* The n-th. Debts are allowed: the sum is 0, and numbers wrap around. */
static struct transfer transfer_of(uint64_t n)
{
	uint64_t state = n * 0x9e3779b97f4a7c15u | 1;
	struct transfer t = {.from = rng(&state) % ACCOUNTS, .amount = rng(&state) % 1000 + 1};

	t.to = (t.from + 1 + rng(&state) % (ACCOUNTS - 1)) % ACCOUNTS;
	return t;
}

static void bank_act(struct world *world, unsigned me, uint64_t *random, uint64_t turn)
{
	long rest = rng(random) % 512 ? 0 : rng(random) % 16 ? 50000 : 10000000;

	(void)me, (void)turn;
	pthread_mutex_lock(&world->lock);
	uint64_t n = load(world, DONE) + 1;
	struct transfer t = transfer_of(n);
	size_t from = FIRST_ACCOUNT + t.from, to = FIRST_ACCOUNT + t.to;
	store(world, STARTED, n);
	store(world, IN_FLIGHT, t.amount);
	store(world, from, load(world, from) - t.amount);
	if (rest)
		nap(rest);
	store(world, to, load(world, to) + t.amount);
	store(world, IN_FLIGHT, 0);
	store(world, DONE, n);
	pthread_mutex_unlock(&world->lock);
}

static void book(struct world *world)
{
	struct transfer t = transfer_of(++world->transfers);

	world->balance[t.from] -= t.amount;
	world->balance[t.to] += t.amount;
}

/* Whether it is that far with a transfer that has been started: 1 to 5 steps. */
static bool at_step(const struct world *world, const uint64_t *seen, struct transfer t, int step)
{
	uint64_t from = world->balance[t.from] - (step >= 3 ? t.amount : 0);
	uint64_t to = world->balance[t.to] + (step >= 4 ? t.amount : 0);

	return seen[IN_FLIGHT] == (step >= 2 && step < 5 ? t.amount : 0) &&
	       seen[FIRST_ACCOUNT + t.from] == from && seen[FIRST_ACCOUNT + t.to] == to;
}

static const char *bank_torn(struct world *world, const uint64_t *seen)
{
	bool open = seen[STARTED] != seen[DONE], bad = seen[STARTED] - seen[DONE] > 1;
	struct transfer t = {ACCOUNTS, ACCOUNTS, 0};
	uint64_t sum = 0;

	for (size_t i = 0; i < ACCOUNTS; i++)
		sum += seen[FIRST_ACCOUNT + i];
	while (world->transfers < seen[DONE])
		book(world);
	bad = bad || world->transfers != seen[DONE] || (sum && sum + seen[IN_FLIGHT]);
	if (open) {
		bool fits = false;
		t = transfer_of(seen[STARTED]);
		for (int step = 1; step <= 5; step++)
			fits = fits || at_step(world, seen, t, step);
		bad = bad || !fits;
	} else {
		bad = bad || seen[IN_FLIGHT];
	}
	for (size_t i = 0; i < ACCOUNTS && !bad; i++)
		bad = i != t.from && i != t.to && seen[FIRST_ACCOUNT + i] != world->balance[i];
	if (!bad)
		return NULL;
	snprintf(reason, sizeof reason,
		 "bank: transfer %llu started, %llu done, %llu in flight, the sum is %lld",
		 (unsigned long long)seen[STARTED], (unsigned long long)seen[DONE],
		 (unsigned long long)seen[IN_FLIGHT], (long long)sum);
	return reason;
}

static const struct litmus litmuses[] = {
    {"writers", writers_cells, writers_cells, writers_act, writers_torn},
    {"ring", ring_cells, ring_growing, ring_act, ring_torn},
    {"bank", bank_cells, bank_growing, bank_act, bank_torn},
};
#define LITMUSES (sizeof litmuses / sizeof *litmuses)

/* ---- the threads ---- */

struct actor {
	struct world *world;
	pthread_t thread;
	unsigned number;
};

static void *act(void *arg)
{
	struct actor *a = arg;
	uint64_t random = a->number + 1;

	for (uint64_t turn = 1; !atomic_load(&a->world->stop); turn++)
		a->world->litmus->act(a->world, a->number, &random, turn);
	return NULL;
}

static void shuffle(size_t *page, size_t n, uint64_t *random)
{
	for (size_t i = 0; i < n; i++) {
		size_t j = i + rng(random) % (n - i), other = page[j];
		page[j] = page[i];
		page[i] = other;
	}
}

/*
 * Which page each cell is in: anywhere, but those of the last thread in a row, so that faults copy
 * ahead; or a quarter of the cells in each chunk, so that one chunk is at rest while another is
 * written to.
 */
static void choose_pages(size_t *out, const struct world *world, size_t pages, bool clustered,
			 uint64_t *random)
{
	size_t *page = malloc(pages * sizeof *page), each = pages / CHUNKS;
	size_t row = clustered ? 0 : world->cells / world->threads;

	for (size_t i = 0; i < pages; i++)
		page[i] = i;
	if (clustered)
		for (size_t c = 0; c < CHUNKS; c++)
			shuffle(page + c * each, each, random);
	else
		shuffle(page, pages - row, random);
	for (size_t i = 0; i < world->cells; i++)
		if (clustered)
			out[i] = page[i * CHUNKS / world->cells * each + i % each];
		else
			out[i] = i + row < world->cells ? page[i] : page[pages - world->cells + i];
	free(page);
}

static void place_cells(struct world *world, size_t pages, bool clustered, uint64_t *random)
{
	size_t page[CELLS_MAX];
	char *p = pages % chunk_pages() ? page_block(world->arena, pages)
					: chunk_block(world->arena, pages / chunk_pages());

	memset(p, 0, pages * page_size());
	choose_pages(page, world, pages, clustered, random);
	for (size_t i = 0; i < world->cells; i++) {
		size_t offset = rng(random) % (page_size() / sizeof(uint64_t)) * sizeof(uint64_t);
		world->cell[i] = (void *)(p + page[i] * page_size() + offset);
	}
}

/* ---- the check ---- */

struct kept {
	cowarena_snapshot *snap;
	uint64_t seen[CELLS_MAX];
};

static _Noreturn void failed(struct world *world, cowarena_snapshot *snap, const char *why)
{
	ck_abort_msg("%s, %u threads, snapshot %llu: %s", world->litmus->name, world->threads,
		     (unsigned long long)cowarena_snapshot_id(snap), why);
	abort();
}

static void read_cells(struct world *world, cowarena_snapshot *snap, uint64_t *seen)
{
	for (size_t i = 0; i < world->cells; i++)
		if (cowarena_snapshot_read(snap, &seen[i], (void *)world->cell[i], sizeof *seen))
			failed(world, snap, cowarena_errmsg());
}

static void read_view(struct world *world, cowarena_snapshot *snap, unsigned flags, uint64_t *seen)
{
	cowarena_view *view = cowarena_view_open(snap, flags);

	if (!view)
		failed(world, snap, cowarena_errmsg());
	for (size_t i = 0; i < world->cells; i++) {
		volatile uint64_t *at = cowarena_view_at(view, (void *)world->cell[i]);
		seen[i] = *at;
		if (flags)
			*at = ~seen[i]; /* nobody else will know */
	}
	if (cowarena_view_close(view))
		failed(world, snap, cowarena_errmsg());
}

/* It is what it was, by either way of reading. */
static void check_again(struct world *world, const struct kept *k, unsigned way)
{
	uint64_t seen[CELLS_MAX];

	if (way % 2)
		read_cells(world, k->snap, seen);
	else
		read_view(world, k->snap, way % 4 ? COWARENA_VIEW_PRIVATE : 0, seen);
	if (memcmp(seen, k->seen, world->cells * sizeof *seen))
		failed(world, k->snap, way % 2 ? "it has changed" : "its view differs");
}

static void release(struct world *world, struct kept *k, unsigned way)
{
	if (!k->snap)
		return;
	check_again(world, k, way);
	if (cowarena_snapshot_release(k->snap))
		failed(world, k->snap, cowarena_errmsg());
	k->snap = NULL;
}

/*
 * With its page, and into the arena: in the middle of the copy the reader takes a fault of its own.
 * What it read until then, and what after, must be of one time, whatever the owner of the cell has
 * done meanwhile.
 */
static void read_slowly(struct world *world, cowarena_snapshot *snap, size_t cell, size_t way,
			uint64_t *seen)
{
	size_t offset = (uintptr_t)world->cell[cell] % page_size();
	char *to = world->scratch + way * page_size() + page_size() / 2;

	if (cowarena_snapshot_read(snap, to, (char *)world->cell[cell] - offset, page_size()))
		failed(world, snap, cowarena_errmsg());
	memcpy(seen, to + offset, sizeof *seen);
}

/* The cut was in the call: it has what was there before, and nothing that came after it. */
static void take(struct world *world, struct kept *k, uint64_t *random)
{
	uint64_t before[CELLS_MAX], after[CELLS_MAX], slow[SLOW];
	size_t start = rng(random) % world->cells, step = rng(random) % 8 + 1;

	for (size_t i = 0; i < world->growing; i++)
		before[i] = load(world, i);
	k->snap = take_snapshot(world->arena, 0);
	if (!k->snap)
		failed(world, NULL, cowarena_errmsg());
	for (size_t i = 0; i < world->growing; i++)
		after[i] = load(world, i);
	for (size_t i = 0; i < SLOW; i++)
		read_slowly(world, k->snap, (start + i * step) % world->cells, i, &slow[i]);
	read_cells(world, k->snap, k->seen);
	for (size_t i = 0; i < SLOW; i++)
		if (slow[i] != k->seen[(start + i * step) % world->cells])
			failed(world, k->snap, "read twice, it differs");
	const char *torn = world->litmus->torn(world, k->seen);
	if (torn)
		failed(world, k->snap, torn);
	for (size_t i = 0; i < world->growing; i++)
		if (k->seen[i] < before[i] || k->seen[i] > after[i])
			failed(world, k->snap, "the cut was not during the call");
}

struct tally {
	uint64_t snapshots, mixed; /* with cold and warm chunks at once */
};

static void take_and_check(struct world *world, size_t snapshots, uint64_t *random,
			   struct tally *tally)
{
	struct kept *kept = calloc(KEPT, sizeof *kept);

	for (size_t i = 0; i < snapshots; i++) {
		struct kept *k = &kept[rng(random) % KEPT];
		release(world, k, (unsigned)rng(random));
		struct cowarena_stats s = stats_of(world->arena);
		tally->mixed += s.warm_bytes > 0 && s.warm_bytes < CHUNKS * CHUNK;
		take(world, k, random);
		if (rng(random) % 8 == 0)
			check_again(world, k, (unsigned)rng(random));
		/* Some follow at once, some when much has been written. */
		if (rng(random) % 4 == 0)
			nap(100000);
	}
	tally->snapshots += snapshots;
	for (size_t i = 0; i < KEPT; i++)
		release(world, &kept[i], (unsigned)i);
	free(kept);
}

/* For each kind of arena, over all tests. */
static size_t snapshots_of_run(void)
{
	const char *text = getenv("COWARENA_TORN_SNAPSHOTS");

	return text ? strtoull(text, NULL, 0) : scaled(350, 1000000, 180);
}

static void run(const struct litmus *litmus, unsigned threads, cowarena *arena, size_t snapshots,
		struct tally *tally)
{
	struct world world = {.litmus = litmus,
			      .arena = arena,
			      .threads = threads,
			      .cells = litmus->cells(threads),
			      .growing = litmus->growing(threads),
			      .lock = PTHREAD_MUTEX_INITIALIZER};
	struct actor actor[THREADS_MAX];
	uint64_t random = threads;
	/* Engine eager copies the whole heap each time. */
	bool small = strcmp(cowarena_engine_name(arena), "eager") == 0;

	world.scratch = page_block(arena, SLOW + 1);
	memset(world.scratch, 0, (SLOW + 1) * page_size());
	place_cells(&world, small ? world.cells : CHUNKS * chunk_pages(),
		    !small && tally->snapshots == 0, &random);
	for (unsigned i = 0; i < threads; i++) {
		actor[i] = (struct actor){.world = &world, .number = i};
		ck_assert_int_eq(pthread_create(&actor[i].thread, NULL, act, &actor[i]), 0);
	}
	take_and_check(&world, snapshots, &random, tally);
	atomic_store(&world.stop, true);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(actor[i].thread, NULL);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	ck_assert_uint_eq(stats_of(arena).snapshots_live, 0);
	cowarena_destroy(arena);
}

#define SIZES 3

/* _i: the kind of arena, the litmus, the number of threads. */
START_TEST(no_snapshot_is_torn)
{
	int kind = _i / (int)(LITMUSES * SIZES);
	const struct litmus *litmus = &litmuses[(size_t)_i / SIZES % LITMUSES];
	unsigned threads = 2u << _i % SIZES;
	size_t each = snapshots_of_run() / (LITMUSES * SIZES * 2) + 1;
	struct tally tally = {0};

	run(litmus, threads, arena_case(kind), each, &tally);
	/* Once more: placed otherwise, and without the helper. */
	struct cowarena_options o = case_options(kind);
	o.flags |= COWARENA_NO_HELPER;
	cowarena *arena = cowarena_create(&o);
	ck_assert_msg(arena != NULL, "%s", cowarena_errmsg());
	run(litmus, threads, arena, each, &tally);
	printf("%s, %s, %u threads: %llu snapshots, 0 torn", case_name(kind), litmus->name, threads,
	       (unsigned long long)tally.snapshots);
	if (tally.mixed)
		printf(" (%llu of cold and warm chunks)", (unsigned long long)tally.mixed);
	printf("\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("torn");

	for (int i = 0; i < CASES; i++) {
		TCase *tc = tcase_create(case_name(i));
		int tests = (int)(LITMUSES * SIZES);
		tcase_add_loop_test(tc, no_snapshot_is_torn, i * tests, (i + 1) * tests);
		suite_add_tcase(suite, tc);
	}
	return run_suite(suite);
}
