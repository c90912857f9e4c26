/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * zval.c - PHP 5's variables: copy-on-write by counting, beside copy-on-write by pages.
 *
 * Lines of PHP run (zval-php.h) on a small model of PHP 5's variables (zval-model.h, which has the
 * mechanism). After each line, the refcount and is_ref of what it touched are printed, as
 * xdebug_debug_zval() prints them, and must equal those beside the line in the table below. An
 * assignment shares, a write separates, and an array is separated by one level: its pointers are
 * copied, and what they point to is shared again.
 *
 * All variables live in an arena. So there are two ways to keep the old value of a big array: one
 * more name for it, which makes the next write copy a pointer for each element, or a snapshot.
 * zval-pages.c counts what each of them copies. Then a script changes many variables, and a
 * rollback must restore them all.
 */
#include "config.h"

#include "common.h"
#include "arguments.h"
#include "report.h"
#include "zval-model.h"
#include "zval-pages.h"
#include "zval-php.h"

#define MARGIN 29 /* where the numbers beside a line of PHP begin */

static uint64_t elements = 100000;

/* Refcounts, line by line ---------------------------------------------------------------------- */

/* A line of PHP; the variables printed after it; what each of them must be, or what echo must
   print. A line that begins with // begins a new script. */
static const struct step {
	const char *line, *shown, *expected;
} steps[] = {
    {"// Two names, one value: it is copied when one of them is written", NULL, NULL},
    {"$foo = 1;", "foo", "(refcount=1, is_ref=0)=1"},
    {"$bar = $foo;", "foo", "(refcount=2, is_ref=0)=1"},
    {"$bar = 2;", "foo", "(refcount=1, is_ref=0)=1"},
    {"// An array: a write separates the array, and the element that it writes", NULL, NULL},
    {"$tipi[0] = 'php-internal'; $tipi[1] = 'php-internal'; $tipi[2] = 'php-internal';", NULL,
     NULL},
    {"$copy = $tipi;", "tipi copy",
     "(refcount=2, is_ref=0)=array (0 => (refcount=1, is_ref=0)='php-internal', "
     "1 => (refcount=1, is_ref=0)='php-internal', 2 => (refcount=1, is_ref=0)='php-internal')"},
    {"$copy[0] = 'php-internal';", "tipi copy",
     "(refcount=1, is_ref=0)=array (0 => (refcount=1, is_ref=0)='php-internal', "
     "1 => (refcount=2, is_ref=0)='php-internal', 2 => (refcount=2, is_ref=0)='php-internal')"},
    {"// A reference: unset() takes the name away, and the last name has an ordinary value", NULL,
     NULL},
    {"$tipi = 10;", "tipi", "(refcount=1, is_ref=0)=10"},
    {"$o_o = &$tipi;", "tipi o_o", "(refcount=2, is_ref=1)=10"},
    {"unset($o_o);", "tipi", "(refcount=1, is_ref=0)=10"},
    {"echo $tipi;", NULL, "10"},
    {"// A reference inside an array stays one when the array is copied", NULL, NULL},
    {"$foo['love'] = 1;", "foo",
     "(refcount=1, is_ref=0)=array ('love' => (refcount=1, is_ref=0)=1)"},
    {"$bar = &$foo['love'];", "foo",
     "(refcount=1, is_ref=0)=array ('love' => (refcount=2, is_ref=1)=1)"},
    {"$tipi = $foo;", "foo tipi",
     "(refcount=2, is_ref=0)=array ('love' => (refcount=2, is_ref=1)=1)"},
    {"$tipi['love'] = '2';", "foo tipi",
     "(refcount=1, is_ref=0)=array ('love' => (refcount=3, is_ref=1)='2')"},
    {"echo $foo['love'];", NULL, "2"},
    {"// Sharing and references do not mix: the one that differs gets a copy", NULL, NULL},
    {"$a = 1; $b = $a;", "a b", "(refcount=2, is_ref=0)=1"},
    {"$c = &$a;", "a c", "(refcount=2, is_ref=1)=1"},
    {"", "b", "(refcount=1, is_ref=0)=1"},
    {"$d = $c;", "d", "(refcount=1, is_ref=0)=1"},
    {"$d = 7; $c = $d;", "a c", "(refcount=2, is_ref=1)=7"},
    {"$x[0] = 1; $y = &$x;", "x y", "(refcount=2, is_ref=1)=array (0 => (refcount=1, is_ref=0)=1)"},
    {"$y[0] = 2;", "x y", "(refcount=2, is_ref=1)=array (0 => (refcount=1, is_ref=0)=2)"},
    {"// function f($arg) by value, g(&$arg) by reference: name and stack hold the argument", NULL,
     NULL},
    {"$foo = 1; f($foo);", "arg", "(refcount=3, is_ref=0)=1"},
    {"    $arg = 2;", "arg", "(refcount=1, is_ref=0)=2"},
    {"}", "foo", "(refcount=1, is_ref=0)=1"},
    {"g($foo);", "arg", "(refcount=3, is_ref=1)=1"},
    {"    $arg = 2;", "arg", "(refcount=3, is_ref=1)=2"},
    {"}", "foo", "(refcount=1, is_ref=0)=2"},
};

/* A long text continues in further lines, an element each. */
static void print_shown(const char *names, const char *zval)
{
	const char *rest = strstr(zval, "array ("), *end;

	if (!rest || MARGIN + strlen(names) + strlen(zval) + 2 <= 100) {
		printf("%s: %s\n", names, zval);
		return;
	}
	rest += strlen("array (");
	printf("%s: %.*s\n", names, (int)(rest - zval), zval);
	for (; *rest; rest = end) {
		end = strstr(rest, "', ");
		end = end ? end + 2 : rest + strlen(rest);
		printf("%*s%.*s\n", MARGIN + 4, "", (int)(end - rest), rest);
		end += *end == ' ';
	}
}

static void check_step(const struct step *step)
{
	char all[64] = "", names[64];
	const char *separator = "";

	if (!step->shown && strcmp(php_echoed, step->expected) != 0)
		die("%s prints %s, not %s", step->line, php_echoed, step->expected);
	snprintf(names, sizeof names, "%s", step->shown ? step->shown : "");
	for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) {
		char *zval = php_debug_zval(name);
		if (strcmp(zval, step->expected) != 0)
			die("%s makes $%s %s, not %s", step->line, name, zval, step->expected);
		free(zval);
		snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", separator, name);
		separator = ", ";
	}
	if (step->shown)
		print_shown(all, step->expected);
	else
		printf("prints %s\n", step->expected);
}

static void run_steps(void)
{
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		const struct step *step = &steps[i];
		if (strncmp(step->line, "//", 2) == 0) {
			if (i)
				php_end();
			php_begin();
			printf("%s\n", step->line);
			continue;
		}
		php_run("%s", step->line);
		printf("  %-*s", MARGIN - 2, step->line);
		if (step->expected)
			check_step(step);
		else
			putchar('\n');
	}
	php_end();
}

/* Memory, line by line ------------------------------------------------------------------------- */

/* Beside each line: memory_get_usage() of PHP 5, from the book "Thinking In PHP Internals". */
static const struct {
	const char *line, *php5;
} listing[] = {
    {"$j = 1;", "630,904"},
    {"$tipi = array_fill(0, %" PRIu64 ", 'php-internal');", "10,479,840"},
    {"$tipi_copy = $tipi;", "10,479,944"},
    {"foreach ($tipi_copy as $i) $j += count($i);", "10,480,040"},
    {"$tipi_copy[0] = 'php-internal';", "-"},
};
enum { START, FILL, COPY, LOOP, WRITE, LISTED };

static void run_listing(void)
{
	uint64_t live = stats_of(zval_arena).live_bytes, more[LISTED], separated[LISTED];

	printf("\n%-52s%16s%12s%18s\n", "memory in bytes after each line", "in use", "more",
	       "PHP 5, of 100,000");
	php_begin();
	for (size_t i = START; i < LISTED; i++) {
		char line[80];
		uint64_t copied = zval_copied.elements;
		snprintf(line, sizeof line, listing[i].line, elements);
		php_run("%s", line);
		separated[i] = zval_copied.elements - copied;
		more[i] = stats_of(zval_arena).live_bytes - live;
		live += more[i];
		printf("  %-50s%16s%12s%18s\n", line, human_count(live).text,
		       human_count(more[i]).text, listing[i].php5);
	}
	if (more[FILL] < elements * sizeof(struct bucket))
		die("the array is smaller than its pointers");
	if (separated[COPY] || separated[LOOP] || more[COPY] > more[FILL] / 50 ||
	    more[LOOP] > more[FILL] / 50)
		die("the array is shared, and costs its memory again");
	if (separated[WRITE] != elements || more[WRITE] < elements * sizeof(struct bucket))
		die("the array was written, and is shared still");
	php_end();
}

static struct option_row rows[] = {
    {"elements", 'n', "N", "elements of the big arrays", .number = &elements, .min = 100,
     .max = 1000000, .small = 1000},
    {0},
};

int main(int argc, char **argv)
{
	static const struct demo demo = {
	    "Runs lines of PHP on a model of PHP 5's variables, and shows the refcount and is_ref\n"
	    "of what they touch: assignments share, writes separate. Then keeps the old value of\n"
	    "a big array, by a second name and by a snapshot, and counts what either copies.",
	    .rows = rows, .pages = true};
	char shared[64], copied[96];

	demo_arguments(&demo, argc, argv);
	zval_arena = create_arena(demo_choice.engine, 0);
	run_steps();
	run_listing();
	cowarena_destroy(zval_arena);
	struct pages_cost cost = pages_compare(elements);
	snprintf(shared, sizeof shared, "%s elements by 2 names", human_count(elements).text);
	snprintf(copied, sizeof copied, "%s, or %s pages", human_bytes(cost.bytes).text,
		 human_count(cost.pages).text);
	report(shared, copied, cost.faults,
	       "every refcount, is_ref and value, also after the rollbacks");
	return EXIT_SUCCESS;
}
