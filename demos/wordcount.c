/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wordcount.c - a word index in an arena, looked at while it grows.
 *
 * The main thread counts words. Every now and then it takes a snapshot and goes on; a second thread
 * walks the snapshot through a view. In the end, what that thread found is compared with another
 * count of the same words, which was made without an arena, a hash table or a second thread.
 */
#include "config.h"

#include "common.h"

#include <ctype.h>
#include <fnmatch.h>
#include <ftw.h>
#include <getopt.h>
#include <pthread.h>
#include <search.h>

#define WAITING_MAX 8 /* snapshots that the walker may be behind */
#define SNAPSHOTS_DEFAULT 64
#define TOP 3
#define ENOUGH ((size_t)10 << 20) /* bytes of text without which another place is looked at */
#define PLENTY ((size_t)32 << 20) /* ... with which none is */

/* The text ------------------------------------------------------------------------------------- */

static struct {
	char *bytes;
	size_t length, room, files;
} text;

/* Where text is found on most systems. */
static const struct place {
	const char *root;
	size_t until; /* only if there is less text than that so far */
	const char *patterns[8];
} places[] = {
    {"/usr/share/common-licenses", PLENTY, {"*"}},
    {"/usr/share/licenses", PLENTY, {"*"}},
    {"/usr/share/doc", PLENTY, {"copyright", "README*", "NEWS*", "change*", "*.txt", "*.md"}},
    {"/usr/include", ENOUGH, {"*.h"}},
    {"/usr/lib", ENOUGH, {"*.txt", "*.md", "*.h", "*.py", "*.pl", "*.pm", "*.pod"}},
};

/* Append a file. Returns 0, or an errno; then the text is as before. */
static int read_file(const char *path, bool binary_too)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "r") : stdin;
	size_t start = text.length, got = 1;
	int e = f ? 0 : errno;

	while (!e && got) {
		if (text.room - text.length < 65536) {
			text.room = 2 * text.room + 65536;
			text.bytes = realloc(text.bytes, text.room);
			if (!text.bytes)
				die("out of memory");
		}
		errno = 0;
		got = fread(text.bytes + text.length, 1, 65535, f);
		e = errno;
		if (!binary_too && memchr(text.bytes + text.length, 0, got))
			e = EILSEQ;
		text.length += got;
	}
	if (f && f != stdin)
		fclose(f);
	if (e)
		text.length = start;
	else
		text.bytes[text.length++] = '\n'; /* words end with the file */
	text.files += !e;
	return e;
}

static const struct place *place;

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	for (const char *const *p = place->patterns; type == FTW_F && *p; p++) {
		if (fnmatch(*p, path + ftw->base, 0) == 0) {
			read_file(path,
				  false); /* what cannot be read, or is no text, is left out */
			break;
		}
	}
	return text.length >= place->until;
}

static void find_text(void)
{
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		place = &places[i];
		if (text.length < place->until)
			nftw(place->root, visit, 32, FTW_PHYS);
	}
}

/* Lower case of a byte that belongs to a word (all of UTF-8 beyond ASCII does), 0 of others. */
static unsigned char fold[256];

static void make_fold(void)
{
	for (int c = 'a'; c <= 'z'; c++)
		fold[c] = fold[c - 'a' + 'A'] = (unsigned char)c;
	for (int c = 128; c < 256; c++)
		fold[c] = (unsigned char)c;
}

static size_t words_in_text(void)
{
	size_t words = 0;
	bool inside = false;

	for (size_t i = 0; i < text.length; i++) {
		bool letter = fold[(unsigned char)text.bytes[i]];
		words += letter && !inside;
		inside = letter;
	}
	return words;
}

/* The index ------------------------------------------------------------------------------------ */

struct totals {
	uint64_t words, distinct;
	uint64_t sum; /* over all words and their counts, in any order */
};

static uint64_t word_hash(const unsigned char *word, size_t length)
{
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ word[i]) * 0x100000001b3;
	return hash;
}

static uint64_t pair_sum(uint64_t hash, uint64_t count)
{
	return mix(hash + count * 0x9e3779b97f4a7c15);
}

/* All of these lie in the arena. */
struct item {
	struct item *next;
	uint64_t hash, count;
	size_t length;
	unsigned char word[];
};

struct index {
	uint64_t words, distinct;
	size_t buckets; /* a power of two */
	struct item **table;
};

static cowarena *arena;

static void *in_arena(void *p)
{
	if (!p)
		die("the arena is full: %s", cowarena_errmsg());
	return p;
}

static void grow(struct index *index)
{
	size_t buckets = index->buckets ? 2 * index->buckets : 1024;
	struct item **table = in_arena(cowarena_calloc(arena, buckets, sizeof(struct item *)));

	for (size_t i = 0; i < index->buckets; i++) {
		for (struct item *e = index->table[i], *next; e; e = next) {
			next = e->next;
			e->next = table[e->hash & (buckets - 1)];
			table[e->hash & (buckets - 1)] = e;
		}
	}
	cowarena_free(arena, index->table);
	index->table = table;
	index->buckets = buckets;
}

static void count_word(struct index *index, const unsigned char *word, size_t length)
{
	uint64_t hash = word_hash(word, length);
	struct item **bucket = &index->table[hash & (index->buckets - 1)], *e;

	index->words++;
	for (e = *bucket; e; e = e->next) {
		if (e->hash == hash && e->length == length && memcmp(e->word, word, length) == 0) {
			e->count++;
			return;
		}
	}
	e = in_arena(cowarena_alloc(arena, sizeof *e + length));
	*e = (struct item){.next = *bucket, .hash = hash, .count = 1, .length = length};
	memcpy(e->word, word, length);
	*bucket = e;
	if (++index->distinct > index->buckets)
		grow(index);
}

/* The walker ----------------------------------------------------------------------------------- */

/* Snapshots, in the order in which they are taken and walked. */
static struct job {
	cowarena_snapshot *snapshot;
	size_t end; /* of the text that was counted, in bytes */
	struct totals found, wanted;
} * jobs;

static size_t jobs_all, jobs_taken, jobs_walked;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for these two; held for moments */
static pthread_cond_t taken = PTHREAD_COND_INITIALIZER, walked = PTHREAD_COND_INITIALIZER;

static bool quiet;
static struct progress progress;

/* Insert by count, the highest first. */
static void rank(const struct item **top, const struct item *e)
{
	for (size_t i = 0; i < TOP; i++) {
		if (!top[i] || e->count > top[i]->count) {
			const struct item *lower = top[i];
			top[i] = e;
			if (!lower)
				return;
			e = lower;
		}
	}
}

/* Each pointer found in the view points to the present: cowarena_view_at() leads back to the past. */
static struct totals walk(const cowarena_view *view, const struct index *live,
			  const struct item **top)
{
	const struct index *index = cowarena_view_at(view, live);
	struct item *const *table = cowarena_view_at(view, index->table);
	struct totals t = {0};

	for (size_t i = 0; i < index->buckets; i++) {
		const struct item *e = cowarena_view_at(view, table[i]);
		for (; e; e = cowarena_view_at(view, e->next)) {
			t.words += e->count;
			t.distinct++;
			t.sum += pair_sum(word_hash(e->word, e->length), e->count);
			rank(top, e);
		}
	}
	return t;
}

static void report(size_t i, const struct item *const *top)
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
		progress.due = 0; /* the bar comes back at once */
	funlockfile(stdout);
}

static void *walker(void *unused)
{
	(void)unused;
	for (size_t i = 0; i < jobs_all; i++) {
		const struct item *top[TOP] = {NULL};

		pthread_mutex_lock(&lock);
		while (jobs_taken == i)
			pthread_cond_wait(&taken, &lock);
		pthread_mutex_unlock(&lock);

		cowarena_view *view = cowarena_view_open(jobs[i].snapshot, 0);
		if (!view)
			die("no view: %s", cowarena_errmsg());
		jobs[i].found = walk(view, cowarena_snapshot_root(jobs[i].snapshot), top);
		if (!quiet)
			report(i, top);
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
	pthread_mutex_lock(&lock);
	while (jobs_taken - jobs_walked == WAITING_MAX)
		pthread_cond_wait(&walked, &lock);
	pthread_mutex_unlock(&lock);

	struct job *job = &jobs[jobs_taken]; /* only this thread changes jobs_taken */
	job->end = end;
	job->snapshot = cowarena_snapshot_take(arena, 0);
	if (!job->snapshot)
		die("no snapshot: %s", cowarena_errmsg());

	pthread_mutex_lock(&lock);
	jobs_taken++;
	pthread_cond_signal(&taken);
	pthread_mutex_unlock(&lock);
}

/* A snapshot after each `every` words, or evenly spread if that is 0; one at the end in any case. */
static void count_text(size_t words, size_t every)
{
	struct index *index = in_arena(cowarena_calloc(arena, 1, sizeof *index));
	unsigned char *word = allocate(text.length, 1);
	size_t length = 0, counted = 0, next = every ? every : words / jobs_all;

	grow(index);
	cowarena_set_root(arena, index);
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = fold[(unsigned char)text.bytes[i]];
		if (c)
			word[length++] = c;
		if (c || !length)
			continue;
		count_word(index, word, length);
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

/* The recount ---------------------------------------------------------------------------------- */

struct tally {
	const char *word;
	size_t length;
	uint64_t hash, count;
};

static int compare_words(const void *a, const void *b)
{
	const struct tally *x = a, *y = b;

	if (x->length != y->length)
		return x->length < y->length ? -1 : 1;
	return memcmp(x->word, y->word, x->length);
}

static bool in_word(char c)
{
	return isalpha((unsigned char)c) || (unsigned char)c >= 128;
}

/* The plain way, with the binary tree of libc, for all prefixes of the text in one pass. */
static void recount(void)
{
	struct totals t = {0};
	void *tree = NULL;
	size_t at = 0;

	for (size_t i = 0; i < text.length; i++)
		text.bytes[i] = (char)tolower((unsigned char)text.bytes[i]);
	for (size_t job = 0; job < jobs_all; job++) {
		while (at < jobs[job].end) {
			size_t start = at;
			while (at < jobs[job].end && in_word(text.bytes[at]))
				at++;
			if (at == start) {
				at++;
				continue;
			}
			struct tally key = {text.bytes + start, at - start, 0, 0};
			struct tally **node = (struct tally **)tsearch(&key, &tree, compare_words);
			if (node && *node == &key) {
				*node = allocate(1, sizeof key);
				**node = key;
				(*node)->hash =
				    word_hash((const unsigned char *)key.word, key.length);
				t.distinct++;
			} else if (node) {
				t.sum -= pair_sum((*node)->hash, (*node)->count);
			} else {
				die("out of memory");
			}
			t.sum += pair_sum((*node)->hash, ++(*node)->count);
			t.words++;
		}
		jobs[job].wanted = t;
		progress_show(&progress, "recounting", at, text.length);
	}
	progress_clear(&progress);
	tdestroy(tree, free);
}

/* How many snapshots were right. Tells about the others. */
static size_t verify(void)
{
	size_t right = 0;

	for (size_t i = 0; i < jobs_all; i++) {
		const struct totals *f = &jobs[i].found, *w = &jobs[i].wanted;
		if (f->words == w->words && f->distinct == w->distinct && f->sum == w->sum) {
			right++;
			continue;
		}
		fprintf(stderr,
			"%s: snapshot %zu: the walker found %" PRIu64 " words, %" PRIu64
			" distinct, sum %016" PRIx64 "; recounted: %" PRIu64 ", %" PRIu64
			", %016" PRIx64 "\n",
			demo_name(), i + 1, f->words, f->distinct, f->sum, w->words, w->distinct,
			w->sum);
	}
	return right;
}

/* Start ---------------------------------------------------------------------------------------- */

static void print_help(void)
{
	printf(
	    "Usage: %s [OPTION...] [FILE...]\n\n"
	    "Shows snapshots of a data structure that never stands still. A hash table of words\n"
	    "and their counts is built in an arena. Every so many words a snapshot is taken, and\n"
	    "a second thread walks it through a view and prints what it finds, while the first\n"
	    "one goes on counting. In the end the totals of each snapshot are compared with an\n"
	    "independent count of the same part of the text; the exit status is 1 if any differ.\n"
	    "Then come the arena's numbers: faults, pages copied, memory held, pauses.\n\n"
	    "Without FILE, licences and documentation are read from /usr/share, and if those are\n"
	    "less than 10 MiB, headers and scripts from /usr. FILE may be - for standard input.\n\n"
	    "  -n, --every N       take a snapshot every N words, and at the end\n"
	    "  -k, --snapshots K   take K snapshots, evenly spread (default %d)\n"
	    "  -e, --engine NAME   auto, sigsegv, uffd, eager (default auto)\n"
	    "  -q, --quiet         print the numbers at the end only\n"
	    "  -h, --help          print this\n"
	    "  -V, --version       print the version\n",
	    demo_name(), SNAPSHOTS_DEFAULT);
	finish_output();
	exit(EXIT_SUCCESS);
}

static void print_numbers(const struct totals *all, uint64_t ns, size_t right)
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
	printf("%-20s %s\n", "faults", human_count(s.faults).text);
	printf("%-20s %s, and %s ahead of a fault\n", "pages copied", human_count(s.copied).text,
	       human_count(s.copied_ahead).text);
	printf("%-20s %s\n", "pages reused", human_count(s.reused).text);
	printf("%-20s %s\n", "held at most", human_bytes(s.held_bytes_peak).text);
	printf("%-20s %zu of %zu snapshots\n", "verified", right, jobs_all);
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
	    {"every", required_argument, NULL, 'n'},
	    {"snapshots", required_argument, NULL, 'k'},
	    {"engine", required_argument, NULL, 'e'},
	    {"quiet", no_argument, NULL, 'q'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	unsigned engine = COWARENA_ENGINE_AUTO;
	size_t every = 0;
	pthread_t thread;

	for (int c; (c = getopt_long(argc, argv, "n:k:e:qhV", long_options, NULL)) != -1;) {
		switch (c) {
		case 'n':
			every = parse_number("--every", optarg, 1, SIZE_MAX / 4);
			break;
		case 'k':
			jobs_all = parse_number("--snapshots", optarg, 1, 1000000);
			break;
		case 'e':
			engine = parse_engine(optarg);
			break;
		case 'q':
			quiet = true;
			break;
		case 'h':
			print_help();
			break;
		case 'V':
			print_version();
			break;
		default:
			usage_hint();
		}
	}
	if (every && jobs_all)
		usage_error("--every and --snapshots exclude each other");

	for (int i = optind; i < argc; i++) {
		int e = read_file(argv[i], true);
		if (e)
			die("%s: %s", argv[i], strerror(e));
	}
	if (optind == argc)
		find_text();
	make_fold();
	size_t words = words_in_text();
	if (!words)
		die("no words in the text%s", optind == argc ? ": name files to read" : "");
	if (every)
		jobs_all = (words + every - 1) / every;
	else if (!jobs_all)
		jobs_all = SNAPSHOTS_DEFAULT;
	if (jobs_all > words)
		jobs_all = words;
	jobs = allocate(jobs_all, sizeof *jobs);
	progress.on = !quiet && isatty(STDOUT_FILENO);

	arena = create_arena(engine, 0);
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

	recount();
	size_t right = verify();
	if (!quiet)
		putchar('\n');
	print_numbers(&jobs[jobs_all - 1].wanted, ns, right);
	cowarena_destroy(arena);
	finish_output();
	return right == jobs_all ? EXIT_SUCCESS : EXIT_FAILURE;
}
