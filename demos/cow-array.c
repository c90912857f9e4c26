/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cow-array.c - many readers, few writers: copy the whole array for each write.
 *
 * Java's CopyOnWriteArrayList and, in Go, an atomic.Pointer to a slice do so. cow-array-list.c has
 * the list itself, and why it is safe to free its old arrays. Here it is used in three ways:
 *
 * 1. A reader keeps one version while many newer ones come and go.
 * 2. Threads read and write at once. What a reader sees is verified: it is never torn (by a
 *    checksum), and never older than what it saw before (by the version's number). It may be old:
 *    how old is measured.
 * 3. Without these checks it is timed, beside one array with a read-write lock around it.
 */
#include "config.h"

#include "common.h"
#include "arguments.h"
#include "cow-array-list.h"
#include "quantile.h"
#include "report.h"

#define STORY_WRITES 1000
#define ROUNDS 7

static uint64_t items = 1000, threads = 4, operations = 200000;
static const uint64_t shares[] = {0, 1, 10, 100, 500}; /* of 1000 operations, writes */
#define SHARES (sizeof shares / sizeof *shares)
static uint64_t versions_made, alive_most; /* of all lists */

/* The ways to read and to write ---------------------------------------------------------------- */

struct worker {
	alignas(64) pthread_t thread; /* on a cache line without data of other threads */
	size_t index;
	uint64_t random, writes, repeats, sum;
	uint64_t last; /* the newest version it has seen */
};

struct design {
	void (*read)(struct worker *, size_t i);
	void (*write)(size_t i);
};

static struct list *list;

/* For reads that ended after a newer version came: how many versions newer, and for how long. */
static uint64_t *behind, *outdated_ns;
static _Atomic size_t outdated;

static void checked_read(struct worker *w, size_t i)
{
	const struct version *v = list_take(list, w->index, &w->repeats);

	(void)i;
	if (v->checksum != version_checksum(list, v))
		die("a reader sees an array that is torn, or was freed");
	if (v->number < w->last)
		die("a reader goes back from version %" PRIu64 " to %" PRIu64, w->last, v->number);
	w->last = v->number;
	uint64_t replaced = atomic_load_explicit(&v->replaced, memory_order_acquire);
	if (replaced) {
		size_t n = atomic_fetch_add(&outdated, 1);
		behind[n] = atomic_load_explicit(&list->newest, memory_order_acquire) - v->number;
		outdated_ns[n] = now_ns() - replaced;
	}
	list_drop(list, w->index);
}

static void copying_read(struct worker *w, size_t i)
{
	w->sum += list_take(list, w->index, &w->repeats)->items[i];
	list_drop(list, w->index);
}

static void copying_write(size_t i)
{
	list_add(list, i, 1);
}

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static uint64_t *locked;

static void locking_read(struct worker *w, size_t i)
{
	pthread_rwlock_rdlock(&lock);
	w->sum += locked[i];
	pthread_rwlock_unlock(&lock);
}

static void locking_write(size_t i)
{
	pthread_rwlock_wrlock(&lock);
	locked[i]++;
	pthread_rwlock_unlock(&lock);
}

static const struct design checking = {checked_read, copying_write},
			   copying = {copying_read, copying_write},
			   locking = {locking_read, locking_write};

/* Threads -------------------------------------------------------------------------------------- */

static const struct design *design;
static uint64_t share, written, repeats; /* writes in 1000 operations; writes, repeats done */

static void *work(void *arg)
{
	struct worker *w = arg;

	for (uint64_t n = 0; n < operations; n++) {
		uint64_t random = mix(w->random += 0x9e3779b97f4a7c15);
		if (random % 1000 < share) {
			design->write((random >> 32) % items);
			w->writes++;
		} else {
			design->read(w, (random >> 32) % items);
		}
	}
	return NULL;
}

/* Returns how long it takes until all threads are done. */
static uint64_t run(const struct design *of, uint64_t writes)
{
	struct worker workers[READERS_MAX] = {{0}};
	uint64_t begin = now_ns();

	design = of;
	share = writes;
	written = repeats = 0;
	for (size_t i = 0; i < threads; i++) {
		workers[i].index = i;
		workers[i].random = mix(i + 1);
		if ((errno = pthread_create(&workers[i].thread, NULL, work, &workers[i])))
			die("no thread: %s", strerror(errno));
	}
	for (size_t i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		written += workers[i].writes;
		repeats += workers[i].repeats;
	}
	return now_ns() - begin;
}

/* Verification: a record of the writes beside the list ----------------------------------------- */

static uint64_t sum(const uint64_t *array)
{
	uint64_t total = 0;

	for (size_t i = 0; i < items; i++)
		total += array[i];
	return total;
}

/* Each write has made one version and added 1, and all versions but the last are freed. */
static void end_of_list(uint64_t writes)
{
	const struct version *last = atomic_load(&list->current);

	list_reclaim(list);
	if (last->number != writes + 1 || sum(last->items) != writes)
		die("after %" PRIu64 " writes there is version %" PRIu64, writes, last->number);
	if (list->retired || list->made != writes + 1 || list->freed != writes)
		die("after %" PRIu64 " writes %" PRIu64 " are freed", writes, list->freed);
	if (list->alive_most > threads + 2) /* one per thread, the current one, and the next */
		die("%" PRIu64 " versions were alive at once", list->alive_most);
	versions_made += list->made;
	if (alive_most < list->alive_most)
		alive_most = list->alive_most;
	list_free(list);
}

/* The three parts ------------------------------------------------------------------------------ */

static void keep_one(void)
{
	list = list_new(items, true);
	const struct version *v = list_take(list, 0, &repeats);

	for (size_t i = 0; i < STORY_WRITES; i++)
		list_add(list, i % items, 1);
	if (v->number != 1 || v->checksum != version_checksum(list, v) || sum(v->items))
		die("the version that a reader keeps has changed");
	if (list->made - list->freed != 2)
		die("of %" PRIu64 " versions %" PRIu64 " are freed", list->made, list->freed);
	printf("A reader keeps version %s until version %s is there. It still reads what it took.\n"
	       "Of %s versions 2 are alive: the reader's and the newest.\n",
	       human_count(v->number).text, human_count(list->newest).text,
	       human_count(list->made).text);
	list_drop(list, 0);
	end_of_list(STORY_WRITES);
}

/* How old is the version of a reader when the reader is done with it? */
static void measure_age(void)
{
	static const double parts[] = {0.5, 0.99, 1};
	uint64_t all = threads * operations;

	behind = allocate(all, sizeof *behind);
	outdated_ns = allocate(all, sizeof *outdated_ns);
	printf(
	    "\nHow old is what a reader has, when it is done with it? Of reads that were overtaken:"
	    "\n\n%22s%32s%34s%10s\n%8s%14s%10s%10s%10s%14s%10s%10s%10s\n",
	    "reads", "versions behind", "outdated since", "looked", "writes", "overtaken", "median",
	    "99 %", "max", "median", "99 %", "max", "again");
	for (size_t s = 1; s < SHARES; s++) {
		list = list_new(items, true);
		outdated = 0;
		run(&checking, shares[s]);
		end_of_list(written);
		printf("%6g %%%12.3f %%", (double)shares[s] / 10,
		       (double)outdated / (double)(all - written) * 100);
		for (size_t p = 0; p < 3; p++)
			printf("%10s", human_count(quantile(behind, outdated, parts[p])).text);
		for (size_t p = 0; p < 3; p++)
			printf("%*s", p ? 10 : 14,
			       human_time(quantile(outdated_ns, outdated, parts[p])).text);
		printf("%10s\n", human_count(repeats).text);
	}
	free(behind);
	free(outdated_ns);
}

static void print_speed(uint64_t ns, double writes)
{
	double rate = (double)(threads * operations) * 1e9 / (double)ns;

	printf("%16s%14s", human_count((uint64_t)(rate * (1 - writes))).text,
	       human_count((uint64_t)(rate * writes)).text);
}

/* Rounds of the two in turn, and the median of each. */
static void measure_speed(void)
{
	struct progress progress = {.on = isatty(STDOUT_FILENO)};
	uint64_t copying_ns[ROUNDS], locking_ns[ROUNDS];

	printf(
	    "\nHow fast is that, beside a read-write lock? Medians of %d rounds; below 1 the list"
	    " loses:\n\n%38s%30s\n%8s%16s%14s%16s%14s%10s\n",
	    ROUNDS, "copy-on-write", "read-write lock", "writes", "reads/s", "writes/s", "reads/s",
	    "writes/s", "ratio");
	for (size_t s = 0; s < SHARES; s++) {
		uint64_t writes = 0, locked_writes = 0;
		list = list_new(items, false);
		locked = allocate(items, sizeof *locked);
		for (size_t r = 0; r < ROUNDS; r++) {
			progress_show(&progress, "rounds", s * ROUNDS + r, SHARES * ROUNDS);
			copying_ns[r] = run(&copying, shares[s]);
			writes += written;
			locking_ns[r] = run(&locking, shares[s]);
			locked_writes += written;
		}
		progress_clear(&progress);
		if (sum(locked) != locked_writes)
			die("writes to the locked array got lost");
		free(locked);
		end_of_list(writes);
		uint64_t ours = quantile(copying_ns, ROUNDS, 0.5),
			 theirs = quantile(locking_ns, ROUNDS, 0.5);
		printf("%6g %%", (double)shares[s] / 10);
		print_speed(ours, (double)shares[s] / 1000);
		print_speed(theirs, (double)shares[s] / 1000);
		printf("%10.2f\n", (double)theirs / (double)ours);
	}
}

static const struct option_row rows[] = {
    {"items", 'n', "N", "length of the array", .number = &items, .min = 1, .max = 1 << 20},
    {"threads", 't', "N", "how many of them", .number = &threads, .min = 2, .max = READERS_MAX},
    {"operations", 'o', "N", "reads and writes of each thread, each time", .number = &operations,
     .min = 1, .max = 1 << 24, .small = 2000},
    {0},
};

int main(int argc, char **argv)
{
	static const struct demo demo = {
	    .about = "A list that is copied for each write, as Java's CopyOnWriteArrayList is:\n"
		     "what its readers see, and when it is faster than a lock.",
	    .rows = rows,
	};
	char shared[80], copied[80];

	demo_arguments(&demo, argc, argv);
	keep_one();
	measure_age();
	measure_speed();
	printf("\nOf all %s versions never more than %s were alive at once; none is now.\n",
	       human_count(versions_made).text, human_count(alive_most).text);
	snprintf(shared, sizeof shared, "%s items by %" PRIu64 " threads", human_count(items).text,
		 threads);
	snprintf(copied, sizeof copied, "%s arrays, %s", human_count(versions_made).text,
		 human_bytes(versions_made * items * sizeof(uint64_t)).text);
	report(shared, copied, 0, "never torn, never back in time, all versions freed");
	return EXIT_SUCCESS;
}
