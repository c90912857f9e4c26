/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cow-string.c - two strings, one text, until one of them is written.
 *
 * The std::string that C++ had before C++11, in C. An assignment shares the text; the first write
 * by one of several owners makes a copy. Two traps, four threads, and a real text's words.
 */
#include "config.h"

#include "common.h"
#include "arguments.h"
#include "report.h"

#include <glob.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>

/* The string ----------------------------------------------------------------------------------- */

struct rep {
	atomic_uint owners; /* strings that point here */
	unsigned room;      /* for text, without the 0 at its end */
	bool unshareable;   /* there may be a pointer through which the text is written */
	char text[];
};

/* NULL is empty. A string that threads share needs a lock, as any variable; its text needs none. */
typedef struct rep *string;

static atomic_size_t reps, rep_bytes, copies; /* now, their bytes; copied for a write so far */
#define COUNT(what, n) atomic_fetch_add_explicit(&(what), n, memory_order_relaxed)

static const char *string_text(string s)
{
	return s ? s->text : "";
}

static struct rep *rep_create(const char *text, size_t more)
{
	size_t room = strlen(text) + more;
	struct rep *rep = allocate(1, sizeof *rep + room + 1);

	atomic_init(&rep->owners, 1);
	rep->room = (unsigned)room;
	strcpy(rep->text, text);
	COUNT(reps, 1);
	COUNT(rep_bytes, malloc_usable_size(rep));
	return rep;
}

/* Drop an owner. Release: what it did with the text comes before the count that others see. The
   last one acquires: what the others did comes before the memory is freed. */
static void rep_drop(struct rep *rep)
{
	if (!rep || atomic_fetch_sub_explicit(&rep->owners, 1, memory_order_release) > 1)
		return;
	(void)atomic_load_explicit(&rep->owners, memory_order_acquire);
	COUNT(reps, -1);
	COUNT(rep_bytes, -malloc_usable_size(rep));
	free(rep);
}

/* Add an owner; nothing is copied. Relaxed: `from` is an owner, so the text will not go away, and
   nobody relies on the count alone. (To hand a thread a string takes a lock, or the like.) */
static void string_assign(string *to, string from)
{
	if (from && from->unshareable)
		from = rep_create(from->text, 0);
	else if (from)
		atomic_fetch_add_explicit(&from->owners, 1, memory_order_relaxed);
	rep_drop(*to);
	*to = from;
}

/* The copy of copy-on-write: become the text's only owner, with room for more. Acquire: we are
   about to write what others have read. No owner can appear, since it takes an owner to make
   another. (Two that write at the same moment may both copy: neither is alone yet.) */
static char *string_own(string *s, size_t more, bool unshareable)
{
	string old = *s;
	bool shared = old && atomic_load_explicit(&old->owners, memory_order_acquire) > 1;

	COUNT(copies, shared);
	if (!old || shared || old->room < strlen(old->text) + more) {
		*s = rep_create(string_text(old), more);
		rep_drop(old);
	}
	(*s)->unshareable = unshareable;
	return (*s)->text;
}

static void string_set_char(string *s, size_t at, char c)
{
	string_own(s, 0, false)[at] = c;
}

static void string_append(string *s, const char *more)
{
	strcat(string_own(s, strlen(more), false), more);
}

/* Valid until the next call that writes or drops the string. Nothing tells us of writes through it:
   so the text is marked, and an assignment then copies it. */
static char *string_writable_pointer(string *s)
{
	return string_own(s, 0, true);
}

static void same(string s, const char *text)
{
	if (strcmp(string_text(s), text) != 0)
		die("a string holds '%s' instead of '%s'", string_text(s), text);
}

/* The two traps: a pointer that is kept -------------------------------------------------------- */

static void show_traps(void)
{
	string a = NULL, b = NULL;

	printf("p = writable pointer of a; b = a; *p = 'J'\n");
	for (int mark = 0; mark <= 1; mark++) {
		string_assign(&a, NULL);
		string_append(&a, "hello");
		char *p = string_writable_pointer(&a);
		a->unshareable = mark; /* first without the mark, to see what it is for */
		string_assign(&b, a);
		*p = 'J';
		same(a, "Jello");
		same(b, mark ? "hello" : "Jello");
		printf("  a is %s, b is %s, if a is %smarked unshareable\n", string_text(a),
		       string_text(b), mark ? "" : "not ");
	}
	string_set_char(&a, 4, 'y'); /* this ends the mark, since p is not good any more */
	string_assign(&b, a);
	const char *q = string_text(a);
	string_set_char(&a, 0, 'K');
	bool old = q == string_text(b) && strcmp(q, "Jelly") == 0;
	printf("\nb = a; q = text of a; a[0] = 'K'\n"
	       "  a is %s, q still reads %s: the text is b's alone now, and goes with b\n",
	       string_text(a), q);
	string_assign(&b, NULL);
	if (!old || reps != 1)
		die("the old text should be b's, and go with it");
	string_assign(&a, NULL);
}

/* Threads -------------------------------------------------------------------------------------- */

enum { THREADS = 4 };
static uint64_t texts = 1000000, most = 1000000;
static string common, *strings; /* each text has THREADS strings */

static void *work(void *own)
{
	char written[] = "? text";

	written[0] = (char)('A' + ((string *)own - strings));
	for (size_t i = 0; i < texts; i++) {
		string *s = (string *)own + i * THREADS;
		string other = NULL;
		string_assign(&other, common);
		string_assign(&other, *s);
		same(other, "a text");
		string_assign(&other, NULL);
		string_set_char(s, 0, written[0]); /* as the others do, perhaps at this moment */
		string_assign(&other, *s);
		string_writable_pointer(s)[0] = 'p';
		same(*s, "p text");
		same(other, written);
		string_assign(s, other);
		string_assign(&other, NULL);
		same(*s, written);
		string_assign(s, NULL);
	}
	return NULL;
}

static void run_threads(void)
{
	pthread_t thread[THREADS];
	size_t least = (2 * THREADS - 1) * texts; /* the last to write a text can do so in place */

	copies = 0;
	string_append(&common, "what all the threads count up and down at once");
	strings = allocate(texts, THREADS * sizeof *strings);
	for (size_t i = 0; i < texts * THREADS; i++)
		if (i % THREADS == 0)
			string_append(&strings[i], "a text");
		else
			string_assign(&strings[i], strings[i - 1]);
	for (size_t i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, work, &strings[i]))
			die("no thread");
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	string_assign(&common, NULL);
	if (reps || rep_bytes || copies < least || copies > least + texts)
		die("%zu texts are left, after %zu copies", (size_t)reps, (size_t)copies);
	printf("\n%d threads own %s texts together; each copies, writes and drops every one\n"
	       "  %s copies, %s of them since two wrote at the same moment; no text is left\n",
	       THREADS, human_count(texts).text, human_count(copies).text,
	       human_count(copies - least).text);
	free(strings);
}

/* The words of a text -------------------------------------------------------------------------- */

static char (*words)[64];
static size_t n;

static void read_words(FILE *f, const char *name)
{
	while (f && n < most && fscanf(f, "%63s", words[n]) == 1)
		n++;
	if (!f || ferror(f))
		die("%s: %s", name, strerror(errno));
	fclose(f);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Make a string for each word, and write some; then the same with a copy each. Returns the copies
   made. */
static size_t write_share(size_t percent)
{
	char **plain = allocate(n, sizeof *plain);
	size_t different = 0, plain_bytes = n * sizeof *plain;

	copies = 0;
	strings = allocate(n, sizeof *strings);
	for (size_t i = 0; i < n; i++) /* in order: equal words are neighbours */
		if (i && strcmp(words[i], words[i - 1]) == 0)
			string_assign(&strings[i], strings[i - 1]);
		else if (++different)
			string_append(&strings[i], words[i]);
	for (size_t i = 0; i < n; i++) {
		bool write = mix(i + 1) % 100 < percent;
		if (write)
			string_append(&strings[i], "s");
		plain[i] = allocate(strlen(words[i]) + 1 + write, 1);
		sprintf(plain[i], "%s%s", words[i], write ? "s" : "");
		plain_bytes += malloc_usable_size(plain[i]);
	}
	if (reps != different + copies)
		die("%zu texts with %zu copies", (size_t)reps, (size_t)copies);
	printf("%6zu %% %11s %11s %13s %13s\n", percent, human_count(copies).text,
	       human_count(reps).text, human_count(rep_bytes + n * sizeof *strings).text,
	       human_count(plain_bytes).text);
	for (size_t i = 0; i < n; i++) {
		same(strings[i], plain[i]);
		string_assign(&strings[i], NULL);
		free(plain[i]);
	}
	free(strings);
	free(plain);
	return copies;
}

int main(int argc, char **argv)
{
	const struct option_row rows[] = {
	    {"texts", 'n', "N", "texts that threads share", &texts, 1, 10000000, 2000, NULL, NULL},
	    {"words", 'w', "N", "words to read, at most", &most, 1, 100000000, 20000, NULL, NULL},
	    {0},
	};
	const struct demo demo = {"Two strings, one text, until a write.", "[FILE...]", rows,
				  false};
	char **files = argv + demo_arguments(&demo, argc, argv), shared[48], copied[48];
	const char *name = *files ? "the files" : "/usr/share/common-licenses";
	size_t share[] = {0, 1, 10, 50, 100}, made[5];
	glob_t licences = {0};

	show_traps();
	run_threads();
	words = allocate(most, sizeof *words);
	if (!*files && glob("/usr/share/common-licenses/*[0-9]", 0, NULL, &licences) == 0)
		files = licences.gl_pathv;
	for (; *files; files++)
		read_words(fopen(*files, "r"), *files);
	if (!n)
		read_words(fmemopen((char *)demo.about, strlen(demo.about), "r"), name = "--help");
	globfree(&licences);
	qsort(words, n, sizeof *words, by_text);
	printf("\n%s words of %s, an 's' appended to a share of them\n"
	       "   share      copies       texts  bytes, shared   a copy each\n",
	       human_count(n).text, name);
	for (size_t i = 0; i < 5; i++)
		made[i] = write_share(share[i]);
	if (reps || rep_bytes)
		die("%zu texts are left", (size_t)reps);
	snprintf(shared, sizeof shared, "%s words", human_count(n).text);
	snprintf(copied, sizeof copied, "%s at 10 %% written", human_count(made[2]).text);
	report(shared, copied, 0, "each string equals a plain one, and no text is left");
	free(words);
	return EXIT_SUCCESS;
}
