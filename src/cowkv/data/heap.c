/* SPDX-License-Identifier: BSD-2-Clause */
/* heap.c - see heap.h. */
#include "config.h"

#include "base/log.h"
#include "data/heap.h"

#include <stdlib.h>

#define MARGIN ((size_t)4 << 20) /* for what no request names: growing tables, the heap's own */
#define LOAD_MARGIN ((size_t)1 << 20)
#define STALE ((size_t)1 << 20) /* look at the arena again after this many bytes */

cowarena *heap;

static size_t capacity, arena_bytes, live_bytes, since;
static bool known;

bool heap_open(size_t bytes, size_t cow_limit)
{
	struct cowarena_options options = COWARENA_OPTIONS_INIT;

	options.capacity = capacity = bytes;
	options.held_limit = cow_limit;
	heap = cowarena_create(&options);
	if (!heap) {
		log_line(LOG_WARNING, "No memory for the data: %s", cowarena_errmsg());
		return false;
	}
	return true;
}

void heap_close(void)
{
	cowarena_destroy(heap);
	heap = NULL;
}

static void *found(void *p)
{
	if (!p) {
		log_line(LOG_WARNING, "Out of memory: %s", cowarena_errmsg());
		abort();
	}
	return p;
}

void *heap_alloc(size_t size)
{
	return found(cowarena_alloc(heap, size));
}

void *heap_zalloc(size_t size)
{
	return found(cowarena_calloc(heap, 1, size));
}

void *heap_resize(void *p, size_t size)
{
	return found(cowarena_realloc(heap, p, size));
}

void heap_free(void *p)
{
	cowarena_free(heap, p);
}

void heap_trim(void)
{
	cowarena_trim(heap);
}

void heap_stale(void)
{
	known = false;
}

static void look(void)
{
	struct cowarena_stats stats = {.sz = sizeof stats};

	if (known || cowarena_stats_peek(heap, &stats))
		return;
	arena_bytes = stats.arena_bytes;
	live_bytes = stats.live_bytes;
	since = 0;
	known = true;
}

static bool room(size_t n, size_t margin)
{
	since += n;
	if (since > STALE)
		known = false;
	look();
	/* If there is no room at the end, free memory inside the heap counts as far as an
	   allocation is sure to find it: half of what is not live. */
	size_t fresh = capacity - arena_bytes, inside = (arena_bytes - live_bytes) / 2;
	size_t wanted = n + since + margin;
	return wanted < fresh || (n < STALE && wanted < inside);
}

bool heap_room(size_t n)
{
	return room(n, MARGIN);
}

bool heap_room_to_load(size_t n)
{
	if (room(n, LOAD_MARGIN))
		return true;
	heap_stale(); /* more was asked for than was taken */
	since = 0;
	return room(n, LOAD_MARGIN);
}

size_t heap_used(void)
{
	look();
	return live_bytes;
}
