/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wordcount.c - a word index in an arena, looked at while it grows.
 *
 * The main thread counts words (wordcount-text.c has the text, wordcount-index.c the index). From
 * time to time it takes a snapshot and goes on; a second thread walks the snapshot through a view.
 * In the end its results are compared with another count of the words, made without an arena, a
 * hash table or a second thread (wordcount-recount.c).
 */
#include "config.h"

#include "wordcount.h"
#include "arguments.h"
#include "picture.h"
#include "report.h"

#include <pthread.h>

#define WAITING_MAX 8 /* snapshots that the walker may lag behind */
#define SNAPSHOTS_DEFAULT 64

static cowarena *arena;
static struct picture *picture;

static struct job *jobs;
static size_t jobs_all, jobs_taken, jobs_walked;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for the latter two; held for moments */
static pthread_cond_t taken = PTHREAD_COND_INITIALIZER, walked = PTHREAD_COND_INITIALIZER;

static bool quiet;
static struct progress progress;

/* The walker ----------------------------------------------------------------------------------- */

static void tell(size_t i, const struct item *const *top)
{
	flockfile(stdout);
	progress_clear(&progress);
	printf("%8zu %12s %10s  ", i + 1, human_count(jobs[i].found.words).text,
	       human_count(jobs[i].found.distinct).text);
	for (size_t n = 0; n < TOP && top[n]; n++)
		printf(" %.*s %s%s", (int)(top[n]->length < 20 ? top[n]->length : 20),
		       (const char *)top[n]->word, human_count(top[n]->count).text,
		       n + 1 < TOP && top[n + 1] ? "," : "\n");
	if (progress.on)
		progress.due = 0; /* the bar is redrawn at once */
	funlockfile(stdout);
}

static void wait_for(size_t job)
{
	pthread_mutex_lock(&lock);
	while (jobs_taken <= job)
		pthread_cond_wait(&taken, &lock);
	pthread_mutex_unlock(&lock);
}

static void *walker(void *unused)
{
	(void)unused;
	for (size_t i = 0; i < jobs_all; i++) {
		const struct item *top[TOP] = {NULL};

		wait_for(i);
		cowarena_view *view = cowarena_view_open(jobs[i].snapshot, 0);
		if (!view)
			die("no view: %s", cowarena_errmsg());
		jobs[i].found = walk_index(view, cowarena_snapshot_root(jobs[i].snapshot), top);
		if (!quiet)
			tell(i, top);
		/* The map, drawn before the last snapshot, shows what is copied for the previous
		   one. */
		if (demo_choice.map && i + 2 == jobs_all)
			wait_for(i + 1);
		if (cowarena_view_close(view) || cowarena_snapshot_release(jobs[i].snapshot))
			die("snapshot: %s", cowarena_errmsg());

		pthread_mutex_lock(&lock);
		jobs_walked++;
		pthread_cond_signal(&walked);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

/* The counting --------------------------------------------------------------------------------- */

static void take_snapshot(size_t end)
{
	size_t i = jobs_taken; /* only this thread changes it */
	struct job *job = &jobs[i];

	pthread_mutex_lock(&lock);
	while (jobs_taken - jobs_walked == WAITING_MAX)
		pthread_cond_wait(&walked, &lock);
	pthread_mutex_unlock(&lock);

	/* Afterwards there is nothing to see. */
	if (i && i == jobs_all - 1) {
		flockfile(stdout);
		progress_clear(&progress);
		picture_map(picture, "The index before the last snapshot, since the one before:");
		funlockfile(stdout);
	}
	if (i % ((jobs_all - 1) / 8 + 1) == 0)
		snprintf(job->label, sizeof job->label, "%zu", i + 1);
	job->end = end;
	job->snapshot = picture_take(picture, arena, 0, job->label);
	if (!job->snapshot)
		die("no snapshot: %s", cowarena_errmsg());

	pthread_mutex_lock(&lock);
	jobs_taken++;
	pthread_cond_signal(&taken);
	pthread_mutex_unlock(&lock);
}

/* Take a snapshot after each `every` words, or evenly spread if that is 0; and one at the end. */
static void count_text(size_t words, size_t every)
{
	struct index *index = make_index(arena);
	unsigned char *word = allocate(text.length, 1);
	size_t length = 0, counted = 0, next = every ? every : words / jobs_all;

	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = fold[(unsigned char)text.bytes[i]];
		if (c)
			word[length++] = c;
		if (c || !length)
			continue;
		count_word(arena, index, word, length);
		length = 0;
		if (++counted == next || counted == words) {
			take_snapshot(i);
			next = every ? next + every : words * (jobs_taken + 1) / jobs_all;
		}
		if (counted % 1024 == 0 && progress.on) {
			flockfile(stdout);
			progress_show(&progress, "counting", i, text.length);
			funlockfile(stdout);
		}
	}
	free(word);
}

/* Both threads. Returns how long it took. */
static uint64_t count_and_walk(size_t words, size_t every)
{
	pthread_t thread;

	if (!quiet)
		printf("%8s %12s %10s   %s\n", "snapshot", "words", "distinct", "most frequent");
	uint64_t start = now_ns();
	int e = pthread_create(&thread, NULL, walker, NULL);
	if (e)
		die("no thread: %s", strerror(e));
	count_text(words, every);
	pthread_join(thread, NULL);
	uint64_t ns = now_ns() - start;
	progress_clear(&progress);
	return ns;
}

/* Start ---------------------------------------------------------------------------------------- */

static const char *every_text, *snapshots_text; /* as given, or NULL */
static uint64_t limit_kib;

static const struct demo demo = {
    .about = "Shows snapshots of a data structure that never stands still. A hash table of words\n"
	     "and their counts is built in an arena. Every so many words a snapshot is taken, and\n"
	     "a second thread walks it through a view and prints what it finds, while the first\n"
	     "one goes on counting. In the end the totals of each snapshot are compared with an\n"
	     "independent count of the same part of the text; the exit status is 1 if any differ.\n"
	     "Then come the arena's numbers: faults, pages copied, memory held, pauses.\n\n"
	     "Without FILE, licences and documentation are read from /usr/share, and if those are\n"
	     "less than 10 MiB, headers and scripts from /usr. FILE may be - for standard input.",
    .operands = "[FILE...]",
    .rows =
	(const struct option_row[]){
	    {"every", 'n', "N", "take a snapshot every N words, and at the end",
	     .text = &every_text},
	    {"snapshots", 'k', "K", "take K snapshots, evenly spread (default 64)",
	     .text = &snapshots_text},
	    {"quiet", 'q', NULL, "print the numbers at the end only", .flag = &quiet},
	    {"limit", 'l', "KIB", "text to read at most, in KiB; 0: all of it",
	     .number = &limit_kib, 0, SIZE_MAX >> 11, 512},
	    {0},
	},
    .pages = true,
};

/* The number of snapshots for a number of words. */
static size_t plan_snapshots(size_t words, size_t every)
{
	size_t n = SNAPSHOTS_DEFAULT;

	if (snapshots_text)
		n = parse_number("--snapshots", snapshots_text, 1, 1000000);
	if (every)
		n = (words + every - 1) / every;
	return n < words ? n : words;
}

static void print_numbers(const struct totals *all, uint64_t ns)
{
	struct cowarena_stats s = stats_of(arena);

	printf("%-20s %s in %s files\n", "text", human_bytes(text.length).text,
	       human_count(text.files).text);
	printf("%-20s %s\n", "words", human_count(all->words).text);
	printf("%-20s %s\n", "distinct words", human_count(all->distinct).text);
	printf("%-20s %s, walkers included\n", "counting took", human_time(ns).text);
	printf("%-20s %s, engine %s\n", "arena", human_bytes(s.arena_bytes).text,
	       cowarena_engine_name(arena));
	printf("%-20s %s\n", "snapshots", human_count(s.snapshots_taken).text);
	printf("%-20s %s last, %s longest\n", "pause", human_time(s.pause_ns_last).text,
	       human_time(s.pause_ns_max).text);
	printf("%-20s %s, and %s ahead of a fault\n", "pages copied", human_count(s.copied).text,
	       human_count(s.copied_ahead).text);
	printf("%-20s %s\n", "pages reused", human_count(s.reused).text);
	printf("%-20s %s\n", "held at most", human_bytes(s.held_bytes_peak).text);
}

static void print_report(void)
{
	struct cowarena_stats s = stats_of(arena);
	uint64_t pages = s.copied + s.copied_ahead + s.shadowed;
	char shared[80], copied[80], verified[80];

	snprintf(shared, sizeof shared, "an index with %zu snapshot%s", jobs_all,
		 jobs_all == 1 ? "" : "s");
	snprintf(copied, sizeof copied, "%s pages, %s", human_count(pages).text,
		 human_bytes(pages * (uint64_t)sysconf(_SC_PAGESIZE)).text);
	snprintf(verified, sizeof verified, "%zu of %zu snapshots equal a recount", jobs_all,
		 jobs_all);
	report(shared, copied, s.faults, verified);
}

int main(int argc, char **argv)
{
	char **files = argv + demo_arguments(&demo, argc, argv);

	if (every_text && snapshots_text)
		usage_error("--every and --snapshots exclude each other");
	size_t every = every_text ? parse_number("--every", every_text, 1, SIZE_MAX / 4) : 0;
	read_text(files, limit_kib ? limit_kib << 10 : SIZE_MAX >> 1);
	size_t words = words_in_text();
	if (!words)
		die("no words in the text%s", *files ? "" : ": name files to read");
	jobs_all = plan_snapshots(words, every);
	jobs = allocate(jobs_all, sizeof *jobs);
	progress.on = !quiet && isatty(STDOUT_FILENO);

	arena = create_arena(demo_choice.engine, 0);
	picture = picture_begin(arena);
	uint64_t ns = count_and_walk(words, every);
	picture_end(picture);
	recount(jobs, jobs_all, &progress);
	if (!quiet)
		putchar('\n');
	print_numbers(&jobs[jobs_all - 1].wanted, ns);
	size_t right = verify(jobs, jobs_all);
	if (right < jobs_all)
		die("only %zu of %zu snapshots are right", right, jobs_all);
	print_report();
	cowarena_destroy(arena);
	free(jobs);
	free(text.bytes);
	return EXIT_SUCCESS;
}
