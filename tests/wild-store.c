/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wild-store.c - dies of a wild store, for test-debugger.sh to look at.
 *
 *	wild-store ENGINE KIND: sigsegv, uffd or hybrid; null, beyond (the arena's heap) or view
 *
 * Exit status 77: the engine is not available.
 */
#include "config.h"

#include "cowarena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N ((size_t)1 << 20)

__attribute__((noinline)) static void tame_store(char *at)
{
	*(volatile char *)at = 1; /* tame */
}

__attribute__((noinline)) static void wild_store(char *at)
{
	*(volatile char *)at = 2; /* wild */
}

static enum cowarena_engine engine(const char *name)
{
	return strcmp(name, "uffd") == 0     ? COWARENA_ENGINE_UFFD
	       : strcmp(name, "hybrid") == 0 ? COWARENA_ENGINE_HYBRID
					     : COWARENA_ENGINE_SIGSEGV;
}

int main(int argc, char **argv)
{
	struct cowarena_options o = COWARENA_OPTIONS_INIT;
	char *wild = (char *)16;

	if (argc != 3)
		return EXIT_FAILURE;
	o.engine = engine(argv[1]);
	o.flags = COWARENA_STRICT_ENGINE | COWARENA_NO_HELPER;
	o.capacity = 64 * N;
	cowarena *arena = cowarena_create(&o);
	if (!arena) {
		fprintf(stderr, "%s\n", cowarena_errmsg());
		return 77;
	}
	char *p = cowarena_calloc(arena, 1, N);
	cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);
	if (!p || !s)
		return EXIT_FAILURE;
	tame_store(p);
	tame_store(p + N / 2);
	if (strcmp(argv[2], "beyond") == 0)
		wild = p + 32 * N;
	else if (strcmp(argv[2], "view") == 0)
		wild = (char *)cowarena_view_at(cowarena_view_open(s, 0), p + 77);
	wild_store(wild);
	puts("it has survived");
	return EXIT_SUCCESS;
}
