/* SPDX-License-Identifier: BSD-2-Clause */
/* stats.c - the counters, added up and printed. */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "objects.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static uint64_t load(_Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The smallest duration that at least `share` percent of the faults did not exceed. */
static uint64_t percentile(const uint64_t *histogram, uint64_t total, unsigned share, uint64_t max)
{
	uint64_t below = 0, wanted = (total * share + 99) / 100;

	for (unsigned i = 0; i < STATS_BUCKETS; i++) {
		below += histogram[i];
		if (below >= wanted && below)
			return stats_bucket_top(i) < max ? stats_bucket_top(i) : max;
	}
	return max;
}

static void add_counters(struct cowarena *arena, struct cowarena_stats *out)
{
	uint64_t histogram[STATS_BUCKETS] = {0}, timed = 0;

	for (unsigned i = 0; i < GATE_SHARDS; i++) {
		struct counter_shard *c = &arena->counters.shard[i];
		out->faults += load(&c->faults);
		out->copied += load(&c->pages[COWARENA_PAGE_COPIED]);
		out->copied_ahead += load(&c->pages[COWARENA_PAGE_AHEAD]);
		out->shadowed += load(&c->pages[COWARENA_PAGE_SHADOWED]);
		out->reused += load(&c->pages[COWARENA_PAGE_REUSED]);
		out->zero += load(&c->pages[COWARENA_PAGE_ZERO]);
		out->saved_free += load(&c->saved_free);
		if (load(&c->fault_ns_max) > out->fault_ns_max)
			out->fault_ns_max = load(&c->fault_ns_max);
		for (unsigned b = 0; b < STATS_BUCKETS; b++) {
			histogram[b] += load(&c->histogram[b]);
			timed += load(&c->histogram[b]);
		}
	}
	out->fault_ns_p50 = percentile(histogram, timed, 50, out->fault_ns_max);
	out->fault_ns_p99 = percentile(histogram, timed, 99, out->fault_ns_max);
}

/* What takes no lock. */
static void add_up(struct cowarena *arena, struct cowarena_stats *s)
{
	size_t chunks = arena_pages(arena) >> arena->chunks.pages_shift;

	add_counters(arena, s);
	s->snapshots_taken = atomic_load(&arena->timeline.taken);
	s->snapshots_live = atomic_load(&arena->timeline.live);
	s->spoiled = atomic_load(&arena->timeline.spoils);
	s->huge_bytes = chunks_huge(&arena->chunks, chunks) * arena->chunks.bytes;
	s->warm_bytes =
	    (atomic_load(&arena->chunks.not_cold) + atomic_load(&arena->privates.chunks)) *
	    arena->chunks.bytes;
	s->held_bytes = (uint64_t)atomic_load(&arena->frames.held) << arena->page_shift;
	s->held_bytes_peak = (uint64_t)atomic_load(&arena->frames.held_peak) << arena->page_shift;
	s->arena_bytes = (uint64_t)arena_pages(arena) << arena->page_shift;
	s->pause_ns_last = load(&arena->counters.pause_ns_last);
	s->pause_ns_max = load(&arena->counters.pause_ns_max);
}

/* Snapshot lock held. */
static size_t mappings(struct cowarena *arena)
{
	size_t n = arena->engine->mappings(arena) + frames_mappings(&arena->frames) +
		   3 + /* pagetable, chunks */
		   (arena->past != arena->base) + os_unmap_left();

	/* A view, its bits, and each hole with what follows it. */
	for (struct cowarena_view *v = arena->timeline.views; v; v = v->next)
		n += 2 + 2 * v->holes;
	return n;
}

static int check(const cowarena *arena, const struct cowarena_stats *stats)
{
	if (!arena || !stats)
		return error_set(EINVAL, "%s is NULL", arena ? "stats" : "arena");
	if (stats->sz < sizeof stats->sz)
		return error_set(EINVAL,
				 "stats.sz is not set: set it to sizeof(struct cowarena_stats)");
	return 0;
}

/* Fields that the caller's struct does not have are left out; fields that only the caller's has are
   zeroed. */
static void hand_over(struct cowarena *arena, struct cowarena_stats *s, struct cowarena_stats *to)
{
	size_t sz = to->sz;

	s->live_bytes = heap_live_bytes(arena);
	s->sz = sz;
	memcpy(to, s, sz < sizeof *s ? sz : sizeof *s);
	if (sz > sizeof *s)
		memset((char *)to + sizeof *s, 0, sz - sizeof *s);
}

int cowarena_stats_get(cowarena *arena, struct cowarena_stats *stats)
{
	struct cowarena_stats s = {0};
	sigset_t signals;

	arena_in_use(arena, __func__);
	if (check(arena, stats))
		return -1;
	arena_lock_snapshots(arena, &signals);
	private_collect(arena); /* what cannot be noted now is counted later */
	add_up(arena, &s);
	s.mappings = mappings(arena);
	arena_unlock_snapshots(arena, &signals);
	hand_over(arena, &s, stats);
	return 0;
}

int cowarena_stats_peek(cowarena *arena, struct cowarena_stats *stats)
{
	struct cowarena_stats s = {0};

	arena_in_use(arena, __func__);
	if (check(arena, stats))
		return -1;
	add_up(arena, &s);
	hand_over(arena, &s, stats);
	return 0;
}

static const struct field {
	const char *name;
	size_t offset;
} fields[] = {
#define FIELD(name)                                                                                \
	{                                                                                          \
#name, offsetof(struct cowarena_stats, name)                                       \
	}
    FIELD(faults),          FIELD(copied),         FIELD(copied_ahead),
    FIELD(shadowed),        FIELD(reused),         FIELD(zero),
    FIELD(snapshots_taken), FIELD(snapshots_live), FIELD(held_bytes),
    FIELD(held_bytes_peak), FIELD(live_bytes),     FIELD(arena_bytes),
    FIELD(pause_ns_last),   FIELD(pause_ns_max),   FIELD(fault_ns_p50),
    FIELD(fault_ns_p99),    FIELD(fault_ns_max),   FIELD(mappings),
    FIELD(huge_bytes),      FIELD(warm_bytes),     FIELD(spoiled),
    FIELD(saved_free),
};

int cowarena_stats_print(cowarena *arena, FILE *stream, unsigned flags)
{
	struct cowarena_stats s = {.sz = sizeof s};

	if (!stream)
		return error_set(EINVAL, "stream is NULL");
	if (flags & ~(unsigned)COWARENA_STATS_JSON)
		return error_set(EINVAL, "unknown statistics flags (%#x)", flags);
	if (cowarena_stats_get(arena, &s))
		return -1;
	bool json = flags & COWARENA_STATS_JSON;
	int e = errno;
	errno = 0;
	const char *format = json ? "%s\"%s\": %" PRIu64 : "%s%-16s %15" PRIu64 "\n";
	fprintf(stream, json ? "{\"engine\": \"%s\"" : "engine           %15s\n",
		arena->engine->name);
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		uint64_t value;
		memcpy(&value, (const char *)&s + fields[i].offset, sizeof value);
		fprintf(stream, format, json ? ", " : "", fields[i].name, value);
	}
	if (json)
		fputs("}\n", stream);
	if (ferror(stream))
		return error_set(errno ? errno : EIO, "the statistics could not be written");
	errno = e;
	return 0;
}
