/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bgsave.c - Redis' BGSAVE in miniature: a table is saved in the background while it is served.
 *
 * Redis forks, and the child saves the memory as it was at the fork. Here a snapshot of an arena
 * replaces the child's memory, and a second thread replaces the child: it walks the table in a view
 * of the snapshot, writes a temporary file, and renames it when all is on the disk. Meanwhile the
 * main thread serves requests.
 *
 * The cost is the pages that are written during the save: each is copied once. So Redis puts off
 * writes that can wait, and its users save when little is written. Both are measured here. Server
 * and saver wait for each other after each portion of the file, so that the counts do not depend on
 * the speed of the disk. After each save a rollback undoes what was served, so the next one starts
 * from the same table.
 */
#include "config.h"

#include "common.h"
#include "arguments.h"
#include "bgsave-table.h"
#include "picture.h"
#include "report.h"

#include <limits.h>
#include <pthread.h>

#define PORTIONS 64

static uint64_t keys = 1 << 18, requests = 512;

static cowarena *arena;
static struct table *table; /* in the arena */
static struct picture *picture;

/* The plain record of the table: the value of each key, now and at the cut. */
static struct account {
	char (*values)[VALUE_SIZE];
	size_t known; /* the keys are 0, 1, ... known - 1 */
} now, at_cut;

/* The file ------------------------------------------------------------------------------------- */

static char directory[PATH_MAX], file[PATH_MAX + 16], temporary[PATH_MAX + 16];

static void remove_files(void)
{
	unlink(temporary);
	unlink(file);
	rmdir(directory);
}

static void make_directory(void)
{
	const char *parent = getenv("TMPDIR");

	snprintf(directory, sizeof directory, "%s/bgsave-XXXXXX", parent ? parent : "/tmp");
	if (!mkdtemp(directory))
		die("%s: %s", directory, strerror(errno));
	snprintf(file, sizeof file, "%s/dump", directory);
	snprintf(temporary, sizeof temporary, "%s/dump.tmp", directory);
	atexit(remove_files);
}

static void save_record(void *to, const struct record *r)
{
	if (fwrite(r, sizeof *r, 1, to) != 1)
		die("%s: %s", temporary, strerror(errno));
}

static pthread_barrier_t portion_done;

/* The thread that saves. If it fails, so does the program; a server would keep the old file. */
static void *save(void *snapshot)
{
	cowarena_view *view = cowarena_view_open(snapshot, 0);
	FILE *to = fopen(temporary, "w");

	if (!view)
		die("no view: %s", cowarena_errmsg());
	if (!to)
		die("%s: %s", temporary, strerror(errno));
	for (size_t portion = 0; portion < PORTIONS; portion++) {
		table_walk(view, table, portion, PORTIONS, save_record, to);
		pthread_barrier_wait(&portion_done);
	}
	if (cowarena_view_close(view))
		die("what was saved may be wrong: %s", cowarena_errmsg());
	/* First all bytes must be on the disk, then the name: `file` is complete at any time. */
	if (fflush(to) || fsync(fileno(to)) || fclose(to) || rename(temporary, file))
		die("%s: %s", temporary, strerror(errno));
	return NULL;
}

/* The server ----------------------------------------------------------------------------------- */

static uint64_t request; /* its number */

/* Some keys are requested much more often than others; they lie anywhere in memory. */
static uint64_t draw_key(uint64_t seed)
{
	double u = (double)mix(seed) * 0x1p-64;

	return (uint64_t)((double)now.known * u * u * u) * 2654435761 % now.known;
}

/* Of 1,000 requests, this many add a key, and this many change one; the others read. */
static void serve(unsigned inserts, unsigned sets)
{
	uint64_t kind = mix(2 * ++request) % 1000;
	uint64_t key = kind < inserts ? now.known++ : draw_key(2 * request + 1);

	if (kind < inserts + sets) {
		snprintf(now.values[key], VALUE_SIZE, "set by request %" PRIu64, request);
		table_set(arena, table, key, now.values[key]);
		return;
	}
	const struct record *r = table_get(arena, table, key);
	if (!r || memcmp(r->value, now.values[key], VALUE_SIZE) != 0)
		die("key %" PRIu64 " has not the value that was set", key);
}

/* What is verified ----------------------------------------------------------------------------- */

static void check_table(const struct account *account, const char *when)
{
	if (table->now.used + table->next.used != account->known)
		die("%s the table has another number of keys than it should", when);
	for (size_t key = 0; key < account->known; key++) {
		const struct record *r = table_peek(table, key);
		if (!r || memcmp(r->value, account->values[key], VALUE_SIZE) != 0)
			die("%s key %zu has not the value that it should have", when, key);
	}
}

/* Load the file, as a starting server does. */
static void check_file(void)
{
	bool *seen = allocate(at_cut.known, sizeof *seen);
	FILE *from = fopen(file, "r");
	struct record r;
	size_t n = 0;

	if (!from)
		die("%s: %s", file, strerror(errno));
	for (; fread(&r, sizeof r, 1, from) == 1; n++) {
		if (r.key >= at_cut.known || seen[r.key])
			die("key %" PRIu64 " should not be in the file", r.key);
		if (memcmp(r.value, at_cut.values[r.key], VALUE_SIZE) != 0)
			die("the file has key %" PRIu64 " not as it was at the cut", r.key);
		seen[r.key] = true;
	}
	if (ferror(from) || n != at_cut.known)
		die("the file has %zu keys of %zu", n, at_cut.known);
	fclose(from);
	free(seen);
}

/* One save ------------------------------------------------------------------------------------- */

struct hour {
	const char *name;
	bool postpone;
	unsigned inserts, sets;      /* of 1,000 requests */
	size_t heap, copied, faults; /* pages, pages, traps */
	size_t moved;                /* entries */
	uint64_t pause;
};

static void copy_account(struct account *to, const struct account *from)
{
	memcpy(to->values, from->values, from->known * sizeof *to->values);
	to->known = from->known;
}

/* Save the table while requests are served, verify, and roll back. */
static void bgsave(struct hour *h)
{
	uint64_t first_request = request;
	size_t moved = table->entries_moved;
	pthread_t saver;

	table->postpone = h->postpone;
	copy_account(&at_cut, &now);
	struct cowarena_stats before = stats_of(arena);
	cowarena_snapshot *snapshot = picture_take(picture, arena, 0, h->name);
	if (!snapshot)
		die("no snapshot: %s", cowarena_errmsg());
	int e = pthread_create(&saver, NULL, save, snapshot);
	if (e)
		die("no thread: %s", strerror(e));
	for (size_t portion = 0; portion < PORTIONS; portion++) {
		for (size_t i = 0; i < requests; i++)
			serve(h->inserts, h->sets);
		pthread_barrier_wait(&portion_done);
	}
	pthread_join(saver, NULL);
	struct cowarena_stats after = stats_of(arena);
	h->copied = after.copied + after.copied_ahead - before.copied - before.copied_ahead;
	h->faults = after.faults - before.faults;
	h->heap = before.arena_bytes / (size_t)sysconf(_SC_PAGESIZE);
	h->pause = after.pause_ns_last;
	h->moved = table->entries_moved - moved;
	picture_map(picture, h->name);

	check_file();
	check_table(&now, "after the save");
	if (cowarena_rollback(arena, snapshot))
		die("no rollback: %s", cowarena_errmsg());
	copy_account(&now, &at_cut);
	request = first_request;
	check_table(&now, "after the rollback");
	picture_release(picture, snapshot, "");
}

/* The comparisons ------------------------------------------------------------------------------ */

static struct hour growth[] = {
    {.name = "rehash postponed", .postpone = true, .inserts = 10, .sets = 10},
    {.name = "rehash goes on", .postpone = false, .inserts = 10, .sets = 10},
};
static struct hour hours[] = {
    {.name = "0.4 % writes", .postpone = true, .sets = 4},
    {.name = "1.6 % writes", .postpone = true, .sets = 16},
    {.name = "6.4 % writes", .postpone = true, .sets = 64},
    {.name = "25 % writes", .postpone = true, .sets = 250},
    {.name = "100 % writes", .postpone = true, .sets = 1000},
};
static size_t all_copied, all_faults;

static void save_all(struct hour *h, size_t n)
{
	printf("%31s %14s %10s %10s %10s\n", "entries moved", "pages copied", "of heap", "faults",
	       "pause");
	for (struct hour *end = h + n; h < end; h++) {
		bgsave(h);
		printf("%-16s %14s %14s %8.1f %% %10s %10s\n", h->name, human_count(h->moved).text,
		       human_count(h->copied).text, 100.0 * (double)h->copied / (double)h->heap,
		       human_count(h->faults).text, human_time(h->pause).text);
		all_copied += h->copied;
		all_faults += h->faults;
	}
}

/* A new key makes the full table grow: serve until half of its buckets are moved. */
static void grow_half(void)
{
	table->postpone = false;
	serve(1000, 0);
	while (table->moved < table->now.size / 2)
		serve(0, 0);
}

int main(int argc, char **argv)
{
	static const struct option_row rows[] = {
	    {"keys", 'k', "N", "a power of two", &keys, 16384, 1 << 24, .small = 16384},
	    {"requests", 'r', "N", "served for each portion", &requests, 32, 1024, .small = 64},
	    {0},
	};
	static const struct demo demo = {"Saves a table, in $TMPDIR, while it is served.", NULL,
					 rows, true};

	demo_arguments(&demo, argc, argv);
	while (keys & (keys - 1))
		keys += keys & -keys;
	make_directory();
	now.values = allocate(keys + PORTIONS * requests + 1, VALUE_SIZE);
	at_cut.values = allocate(keys + PORTIONS * requests + 1, VALUE_SIZE);
	arena = create_arena(demo_choice.engine, COWARENA_FAITHFUL); /* as after a fork */
	table_check_rule(arena);
	table = table_new(arena, keys);
	while (now.known < keys)
		serve(1000, 0);
	if (pthread_barrier_init(&portion_done, NULL, 2))
		die("no barrier");
	picture = picture_begin(arena);

	printf("%s keys, a file of %d portions, %s requests served while each is saved.\n\n"
	       "The table is full and has to grow. Of the requests 1 %% insert, 1 %% update.\n\n",
	       human_count(keys).text, PORTIONS, human_count(requests).text);
	save_all(growth, 2);
	double ratio = (double)growth[1].copied / (double)growth[0].copied;
	grow_half();
	printf("\nWhen the rehash goes on, the same requests make %.1f times the copies.\n\n"
	       "Half of the table is moved, the rest postponed. Quiet hours, and busy ones:\n\n",
	       ratio);
	save_all(hours, 5);
	if (strcmp(cowarena_engine_name(arena), "eager") == 0)
		printf("\nEngine eager copies all of the heap, whatever is written.\n");
	else if (ratio <= 1 || hours[4].copied <= hours[0].copied)
		die("fewer writes have not made fewer copies");

	picture_end(picture);
	pthread_barrier_destroy(&portion_done);
	cowarena_destroy(arena);
	free(now.values);
	free(at_cut.values);
	char copied[80];
	snprintf(copied, sizeof copied, "%s pages in 7 saves", human_count(all_copied).text);
	report("a table while it is saved", copied, all_faults, "each file is the table at a cut");
	return EXIT_SUCCESS;
}
