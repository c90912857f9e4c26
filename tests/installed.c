/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A user's program: compiled by installed.sh against the installed library only, as C and as C++,
 * so it keeps to what both languages have.
 */
#include <cowarena.h>

#include <stdio.h>
#include <string.h>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition,         \
				cowarena_errmsg());                                                \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

enum { N = 10000 };

int main(void)
{
	struct cowarena_options options = COWARENA_OPTIONS_INIT;
	cowarena *arena;
	cowarena_snapshot *snap;
	int *now, then, i;

	options.capacity = (size_t)64 << 20;
	arena = cowarena_create(&options);
	CHECK(arena != NULL);
	now = (int *)cowarena_alloc(arena, N * sizeof *now);
	CHECK(now != NULL);
	for (i = 0; i < N; i++)
		now[i] = i;

	snap = cowarena_snapshot_take(arena, 0);
	CHECK(snap != NULL);
	memset(now, 0xff, N * sizeof *now);
	for (i = 0; i < N; i++) {
		CHECK(now[i] == -1);
		CHECK(cowarena_snapshot_read(snap, &then, &now[i], sizeof then) == 0);
		CHECK(then == i);
	}

	CHECK(cowarena_rollback(arena, snap) == 0);
	for (i = 0; i < N; i++)
		CHECK(now[i] == i);

	CHECK(cowarena_snapshot_release(snap) == 0);
	cowarena_free(arena, now);
	cowarena_destroy(arena);
	printf("cowarena %s: ok\n", cowarena_version());
	return 0;
}
