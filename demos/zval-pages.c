/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * zval-pages.c - see zval-pages.h.
 *
 * Each experiment has an arena of its own: memory that others have freed there would be pages that
 * a snapshot keeps, as it does not know which memory is in use.
 */
#include "config.h"

#include "common.h"
#include "arguments.h"
#include "digest.h"
#include "picture.h"
#include "zval-model.h"
#include "zval-pages.h"
#include "zval-php.h"

#define NAMES 100

static uint64_t elements;

/* Variables of every kind. $big has a zval for each element; the elements of $fill are one zval. */
static void make_variables(void)
{
	php_run("$fill = array_fill(0, %" PRIu64 ", 'php-internal');", elements);
	php_run("$big = array_fill(0, %" PRIu64 ", 'php-internal');", elements);
	for (uint64_t i = 0; i < elements; i++)
		php_run("$big[%" PRIu64 "] = 'php-internal';", i);
	php_run("$foo['love'] = 1; $bar = &$foo['love']; $tipi = $foo;");
	for (int i = 0; i < NAMES; i++) {
		php_run("$v%d = %d; $shared%d = $v%d;", i, i, i, i);
		if (i % 3 == 0)
			php_run("$reference%d = &$v%d;", i, i);
	}
}

/* The script: every name gets another zval, is unset, or has one that changes. */
static void change_variables(void)
{
	php_run("$keep = $big; $big[7] = 'new'; $copy = $fill; $fill[7] = 'new';");
	for (uint64_t i = 0; i < elements; i += 10)
		php_run("$copy[%" PRIu64 "] = %" PRIu64 ";", i, i);
	php_run("$tipi['love'] = 2; $foo['more'] = 'love'; unset($bar);");
	for (int i = 0; i < NAMES; i++)
		php_run(i % 4 ? "$v%d = 'changed'; $shared%d = &$v%d;"
			      : "unset($v%d); $shared%d = 'alone';",
			i, i, i);
}

static void run(const char *php)
{
	if (php)
		php_run("%s", php);
	else
		change_variables();
}

static struct pages_cost cost_since(struct pages_cost start)
{
	struct cowarena_stats s = stats_of(zval_arena);

	return (struct pages_cost){zval_copied.elements - start.elements,
				   zval_copied.bytes - start.bytes, s.faults - start.faults,
				   s.copied + s.copied_ahead + s.shadowed - start.pages};
}

/* Every refcount, is_ref and value, as text outside the arena. */
static void must_be(const char *state, const char *when)
{
	char *now = php_debug_zval(NULL);

	if (strcmp(now, state) != 0)
		die("%s: the variables are not what they have to be", when);
	free(now);
}

/* By PHP's own means: while $keep exists, it is what $big was, and can become $big again. */
static struct pages_cost keep_by_name(const char *php)
{
	zval_arena = create_arena(demo_choice.engine, 0);
	php_begin();
	make_variables();
	char *before = php_debug_zval(NULL);
	struct pages_cost start = cost_since((struct pages_cost){0});

	run(php);
	struct pages_cost cost = cost_since(start);
	php_run("$big = $keep; unset($keep);");
	must_be(before, "$big = $keep");
	free(before);
	php_end();
	cowarena_destroy(zval_arena);
	return cost;
}

/* By a snapshot, and a rollback to it. Afterwards the script must do the same again: the variables
   are not only equal to what they were, they work. And then all can be freed. */
static struct pages_cost keep_by_snapshot(const char *label, const char *php)
{
	zval_arena = create_arena(demo_choice.engine, 0);
	php_begin();
	make_variables();
	char *before = php_debug_zval(NULL);
	struct digest then = digest_arena(zval_arena);
	struct picture *picture = picture_begin(zval_arena);
	struct pages_cost start = cost_since((struct pages_cost){0});
	cowarena_snapshot *snapshot = picture_take(picture, zval_arena, 0, "snapshot");
	if (!snapshot)
		die("no snapshot: %s", cowarena_errmsg());
	run(php);
	struct pages_cost cost = cost_since(start);
	picture_map(picture, label);
	picture_end(picture);
	char *after = php_debug_zval(NULL);
	if (strcmp(before, after) == 0 || same_digest(digest_arena(zval_arena), then))
		die("%s: nothing has changed", label);

	if (cowarena_rollback(zval_arena, snapshot))
		die("no rollback: %s", cowarena_errmsg());
	must_be(before, "rollback");
	if (!same_digest(digest_arena(zval_arena), then))
		die("%s: the heap is not what it was at the snapshot", label);
	run(php);
	must_be(after, "once more");
	free(before);
	free(after);
	php_end();
	if (cowarena_snapshot_release(snapshot))
		die("the snapshot is not released: %s", cowarena_errmsg());
	cowarena_destroy(zval_arena);
	return cost;
}

static void print_cost(const char *kept, const char *php, struct pages_cost cost)
{
	printf("  %-14s%-36s%12s%12s%10s%10s\n", kept, php, human_count(cost.elements).text,
	       human_bytes(cost.bytes).text, human_count(cost.faults).text,
	       human_count(cost.pages).text);
}

struct pages_cost pages_compare(uint64_t n)
{
	static const char *const write = "$big[7] = 'new';",
				 *const copy = "$keep = $big; $big[7] = 'new';",
				 *const fill = "$keep = $fill; $fill[7] = 'new';";
	const char *svg = demo_choice.svg;

	elements = n;
	demo_choice.svg = NULL; /* The timeline shows the script. */
	struct pages_cost name = keep_by_name(copy);
	struct pages_cost snapshot = keep_by_snapshot(write, write);
	struct pages_cost both = keep_by_snapshot(copy, copy);
	struct pages_cost filled = keep_by_snapshot(fill, fill);
	demo_choice.svg = svg;
	struct pages_cost script = keep_by_snapshot("the script", NULL);
	if (name.elements != n || snapshot.elements || both.elements != n || filled.elements != n)
		die("an array was separated by another number of pointers than it has");

	printf("\n%-52s%12s%12s%10s%10s\n", "copied to keep the old values by", "elements", "bytes",
	       "faults", "pages");
	print_cost("a name", copy, name);
	print_cost("a snapshot", write, snapshot);
	print_cost("both", copy, both);
	print_cost("both", fill, filled);
	print_cost("a snapshot", "a script that changes all", script);
	printf("  Elements of $big are zvals of their own: copying it writes to each, to raise its "
	       "refcount.\n"
	       "  Those of $fill are one zval.\n");
	return (struct pages_cost){.bytes = name.bytes,
				   .pages = snapshot.pages,
				   .faults = snapshot.faults + both.faults + filled.faults +
					     script.faults};
}
