/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * freed-read.c - accesses that a memory checker should, or should not, complain of (test-tools.sh).
 *
 *	freed-read ENGINE MISTAKE
 *
 * With MISTAKE "none", the program does all that is allowed around freed blocks. Each other mistake
 * is a read of one byte that is in no block.
 */
#include "cowarena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL 100
#define BIG 100000

static cowarena *arena;

static void need(int good, const char *what)
{
	if (!good) {
		fprintf(stderr, "freed-read: %s: %s\n", what, cowarena_errmsg());
		exit(3);
	}
}

static char *block(size_t n)
{
	char *p = cowarena_alloc(arena, n);

	need(p != NULL, "cowarena_alloc");
	memset(p, 1, n);
	return p;
}

static cowarena_snapshot *take(void)
{
	cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);

	need(s != NULL, "cowarena_snapshot_take");
	return s;
}

static int any(void *ctx, const void *start, size_t n)
{
	(void)ctx, (void)start, (void)n;
	return 0;
}

/* Pages with freed blocks are armed, copied, compared, rolled back. */
static void allowed(void)
{
	char *p[200], seen[SMALL];

	for (int i = 0; i < 200; i++)
		p[i] = block(i % 20 ? SMALL : BIG);
	cowarena_snapshot *before = take();
	for (int i = 0; i < 200; i += 2)
		cowarena_free(arena, p[i]);
	for (int i = 1; i < 200; i += 2)
		p[i][0] = 2;
	cowarena_snapshot *between = take();
	for (int i = 1; i < 200; i += 2)
		p[i][0] = 3;
	/* What was in a block then may be read from the past. */
	need(!cowarena_snapshot_read(before, seen, p[2], SMALL) && seen[0] == 1, "the past");
	need(!cowarena_diff(before, between, any, NULL), "cowarena_diff");
	need(!cowarena_diff(between, NULL, any, NULL), "cowarena_diff");
	cowarena_view *view = cowarena_view_open(before, COWARENA_VIEW_PRIVATE);
	need(view != NULL, "cowarena_view_open");
	need(*(char *)cowarena_view_at(view, p[4]) == 1, "a view");
	cowarena_view_close(view);
	char *reused = block(SMALL), *zero = cowarena_calloc(arena, 1, BIG);
	need(zero != NULL && zero[BIG - 1] == 0, "cowarena_calloc");
	reused = cowarena_realloc(arena, reused, BIG + 1);
	need(reused != NULL && reused[SMALL - 1] == 1, "cowarena_realloc");
	reused[BIG] = 1;
	need(!cowarena_rollback(arena, before), "cowarena_rollback");
	/* They are blocks again. */
	for (int i = 0; i < 200; i++)
		need(p[i][SMALL - 1] == 1, "rolled back");
	need(!cowarena_heap_check(arena, NULL), "cowarena_heap_check");
	cowarena_snapshot_release(between);
	cowarena_snapshot_release(before);
	for (int i = 0; i < 200; i++)
		cowarena_free(arena, p[i]);
	cowarena_trim(arena);
}

static char *freed(size_t n)
{
	char *p = block(n), *next = block(n);

	cowarena_free(arena, p);
	next[0] = 1;
	return p;
}

static char *rolled_back(void)
{
	block(SMALL);
	cowarena_snapshot *s = take();
	char *p = block(SMALL);

	need(!cowarena_rollback(arena, s), "cowarena_rollback");
	return p;
}

static char *mistake(const char *name)
{
	if (!strcmp(name, "small"))
		return freed(SMALL);
	if (!strcmp(name, "big"))
		return freed(BIG);
	if (!strcmp(name, "beyond")) /* where nothing has been allocated yet */
		return block(SMALL) + 10 * SMALL;
	if (!strcmp(name, "rollback"))
		return rolled_back();
	return NULL;
}

int main(int argc, char **argv)
{
	struct cowarena_options o = COWARENA_OPTIONS_INIT;

	if (argc != 3)
		return 2;
	o.engine = !strcmp(argv[1], "sigsegv") ? COWARENA_ENGINE_SIGSEGV : COWARENA_ENGINE_AUTO;
	arena = cowarena_create(&o);
	need(arena != NULL, "cowarena_create");
	allowed();
	char *p = mistake(argv[2]);
	if (p)
		printf("%d\n", *(volatile char *)p);
	cowarena_destroy(arena);
	return 0;
}
