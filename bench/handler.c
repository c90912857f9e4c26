/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handler.c - where the time of a write fault goes: signal, copy, disarm, bookkeeping.
 *
 *   bench/handler [MiB]        (make bench builds and runs it)
 *
 * Up to 10 % of the pages of an arena whose chunks are warm are written in random order, in five
 * ways: by stores that fault; by calls of the handler, without a signal; by each of the handler's
 * two large parts alone, the copy to a frame and the system call that disarms; and by stores to
 * pages that were disarmed so, which the kernel makes writable at the first store. The rest of the
 * handler is bookkeeping, the rest of the fault is the signal. Also measured: the time that a
 * snapshot takes to arm the pages again, and the system calls of that alone. Medians of several
 * rounds.
 */
#include "config.h"

#include "arena.h"
#include "engine-state.h"
#include "fault.h"
#include "track.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 15
#define WRITTEN_MAX                                                                                \
	4000 /* with more, engine sigsegv would take neighbours along, for lack of mappings */

static struct cowarena *arena;
static volatile char *block;
static uint32_t *order;
static size_t count, written;
static char *copies;
static unsigned round_number;

static uint32_t picked(size_t i)
{
	return order[(round_number * written + i) % count];
}

static void *address(size_t i)
{
	return (char *)block + ((size_t)picked(i) << arena->page_shift);
}

/* ---- the five ways; each gives nanoseconds a page ---- */

static double timed(void (*each)(size_t i))
{
	uint64_t start = os_now();

	for (size_t i = 0; i < written; i++)
		each(i);
	return (double)(os_now() - start) / (double)written;
}

static void store(size_t i)
{
	++*(volatile char *)address(i);
}

static void call(size_t i)
{
	fault_handle(arena, address(i));
}

static void copy(size_t i)
{
	track_copy(copies + (i << arena->page_shift), address(i), arena_page_size(arena));
}

static void disarm(size_t i)
{
	if (engine_uffd_file(arena)->fd >= 0)
		os_uffd_protect(engine_uffd_file(arena), address(i), arena_page_size(arena), false);
	else
		os_protect(address(i), arena_page_size(arena), OS_READ_WRITE);
}

/* Arm all dirty pages, in ascending order, by the system call alone. */
static double timed_arming(void)
{
	size_t page = arena_page_size(arena), n = 0;
	uint64_t start = os_now();

	for (size_t i = bitmap_next(&arena->table.dirty, 0); i < arena->pages;
	     i = bitmap_next(&arena->table.dirty, i + 1), n++)
		if (engine_uffd_file(arena)->fd >= 0)
			os_uffd_protect(engine_uffd_file(arena), arena_address(arena, i), page,
					true);
		else
			os_protect(arena_address(arena, i), page, OS_READ);
	return (double)(os_now() - start) / (double)n;
}

static cowarena_snapshot *freeze(void)
{
	cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);

	if (!s) {
		fprintf(stderr, "%s\n", cowarena_errmsg());
		exit(1);
	}
	round_number++;
	return s;
}

/* ---- the rest ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v)
{
	qsort(v, ROUNDS, sizeof *v, by_value);
	return v[ROUNDS / 2];
}

static void setup(unsigned engine, size_t bytes)
{
	struct cowarena_options o = COWARENA_OPTIONS_INIT;
	uint64_t x = 88172645463325252u;

	o.engine = engine;
	o.held_limit = (size_t)1 << 46; /* each first write is a trap */
	o.capacity = 2 * bytes;
	arena = cowarena_create(&o);
	block = arena ? cowarena_aligned_alloc(arena, arena_page_size(arena), bytes) : NULL;
	count = bytes >> arena->page_shift;
	written = count / 10 < WRITTEN_MAX ? count / 10 : WRITTEN_MAX;
	order = malloc(count * sizeof *order);
	copies = os_map_anonymous(written << arena->page_shift);
	if (!block || !order || !copies) {
		fprintf(stderr, "no memory: %s\n", cowarena_errmsg());
		exit(1);
	}
	memset((char *)block, 1, bytes);
	memset(copies, 1, written << arena->page_shift);
	for (size_t i = 0; i < count; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		size_t j = x % (i + 1);
		order[i] = order[j];
		order[j] = (uint32_t)i;
	}
}

static void run(unsigned engine, size_t bytes)
{
	enum { FAULT, CALL, COPY, DISARM, STORE, TAKE, ARM, WAYS };
	double ns[WAYS][ROUNDS], m[WAYS];

	setup(engine, bytes);
	for (int i = -2; i < ROUNDS; i++) { /* two to warm up */
		int at = i < 0 ? 0 : i;
		cowarena_snapshot *s = freeze();
		ns[FAULT][at] = timed(store);
		cowarena_snapshot_release(s);
		uint64_t start = os_now();
		s = freeze();
		ns[TAKE][at] = (double)(os_now() - start) / (double)written;
		ns[CALL][at] = timed(call);
		ns[COPY][at] = timed(copy);
		cowarena_snapshot_release(s);
		s = freeze();
		/* Behind the library's back, but so that no page stays writable unnoticed. */
		for (size_t j = 0; j < written; j++)
			bitmap_set(&arena->table.dirty, arena_page(arena, address(j)));
		ns[DISARM][at] = timed(disarm);
		ns[STORE][at] = timed(store);
		ns[ARM][at] = timed_arming();
		cowarena_snapshot_release(s);
	}
	for (int i = 0; i < WAYS; i++)
		m[i] = median(ns[i]);
	printf("engine %s, %zu of %zu pages, ns a page\n", cowarena_engine_name(arena), written,
	       count);
	printf("  fault        %6.0f\n", m[FAULT]);
	printf("  signal       %6.0f   delivery and return\n", m[FAULT] - m[CALL] - m[STORE]);
	printf("  copy         %6.0f\n", m[COPY]);
	printf("  disarm       %6.0f   the system call\n", m[DISARM]);
	printf("  store        %6.0f   repeated; the kernel's own fault, if it takes one\n",
	       m[STORE]);
	printf("  bookkeeping  %6.0f   the rest of the handler\n", m[CALL] - m[COPY] - m[DISARM]);
	printf("  snapshot     %6.0f   for each of these pages, scattered\n", m[TAKE]);
	printf("  arm          %6.0f   the system call in it\n", m[ARM]);
	size_t page_shift = arena->page_shift;
	cowarena_destroy(arena);
	free(order);
	os_unmap(copies, written << page_shift);
}

int main(int argc, char **argv)
{
	size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 1024) << 20;

	if (argc > 2 || bytes < (size_t)16 << 20) {
		fprintf(stderr, "usage: %s [MiB, at least 16]\n", argv[0]);
		return 2;
	}
	run(COWARENA_ENGINE_AUTO, bytes);
	run(COWARENA_ENGINE_SIGSEGV, bytes);
	return 0;
}
