/* SPDX-License-Identifier: BSD-2-Clause */
/* test-stats.c - what the counters count, and how they are printed. */
#include "config.h"

#include "arena.h"
#include "common.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#define PAGES 40

/* Names and places of all fields, as the header lists them. */
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
#define FIELDS (sizeof fields / sizeof *fields)

static uint64_t value(const struct cowarena_stats *s, size_t field)
{
	uint64_t v;

	memcpy(&v, (const char *)s + fields[field].offset, sizeof v);
	return v;
}

/* ---- what is counted, in faithful mode ---- */

/* What one step adds to the counters of faults. */
static void added(cowarena *arena, struct cowarena_stats *before, const char *step, uint64_t faults,
		  uint64_t copied, uint64_t reused, uint64_t zero)
{
	struct cowarena_stats s = stats_of(arena);

	ck_assert_msg(s.faults - before->faults == faults && s.copied - before->copied == copied &&
			  s.reused - before->reused == reused && s.zero - before->zero == zero,
		      "%s: %d faults, %d copied, %d reused, %d zero; wanted %d, %d, %d, %d", step,
		      (int)(s.faults - before->faults), (int)(s.copied - before->copied),
		      (int)(s.reused - before->reused), (int)(s.zero - before->zero), (int)faults,
		      (int)copied, (int)reused, (int)zero);
	ck_assert_uint_eq(s.copied_ahead, 0);
	ck_assert_uint_eq(s.shadowed, 0);
	*before = s;
}

START_TEST(faults)
{
	cowarena *arena = arena_case(CASE_FAITHFUL);
	size_t page = page_size();
	volatile char *p = page_block(arena, PAGES);
	struct cowarena_stats s = stats_of(arena);

	for (int i = 0; i < 30; i++)
		p[i * page] = 1;
	added(arena, &s, "first touch", 30, 0, 0, 30);
	for (int i = 0; i < 30; i++)
		p[i * page + 8] = 1;
	added(arena, &s, "written again", 0, 0, 0, 0);
	for (int i = 30; i < PAGES; i++)
		ck_assert_int_eq(p[i * page], 0);
	added(arena, &s, "only read", 0, 0, 0, 0);

	cowarena_snapshot *a = take_snapshot(arena, 0);
	added(arena, &s, "a snapshot", 0, 0, 0, 0);
	for (int i = 0; i < 10; i++)
		p[i * page] = 2;
	added(arena, &s, "needed by a", 10, 10, 0, 0);
	for (int i = 0; i < 10; i++)
		p[i * page] = 3;
	added(arena, &s, "copied already", 0, 0, 0, 0);
	ck_assert_int_eq(cowarena_prepare_write(arena, (char *)p + 10 * page, 5 * page), 0);
	added(arena, &s, "prepared", 0, 5, 0, 0);
	for (int i = 5; i < 15; i++)
		p[i * page] = 4;
	added(arena, &s, "written after that", 0, 0, 0, 0);
	/* A page that was never touched has nothing to copy. */
	p[30 * page] = 1;
	added(arena, &s, "first touch after a snapshot", 1, 0, 0, 1);
	ck_assert_uint_eq(s.held_bytes, 15 * page);

	cowarena_snapshot *b = take_snapshot(arena, 0);
	p[0] = p[20 * page] = 5;
	added(arena, &s, "needed by b; by a and b", 2, 2, 0, 0);
	ck_assert_uint_eq(s.held_bytes, 17 * page);
	ck_assert_int_eq(cowarena_snapshot_release(b), 0);
	ck_assert_uint_eq(stats_of(arena).held_bytes, 16 * page);
	p[1 * page] = p[30 * page] = 6; /* a has its copies */
	added(arena, &s, "b is gone, a is not interested", 2, 0, 2, 0);
	p[21 * page] = 6;
	added(arena, &s, "a is", 1, 1, 0, 0);
	ck_assert_int_eq(cowarena_snapshot_release(a), 0);
	for (int i = 15; i < 30; i++)
		p[i * page] = 7;
	added(arena, &s, "nobody is", 13, 0, 13, 0);
	ck_assert_int_eq(cowarena_prepare_write(arena, (char *)p, 15 * page), 0);
	added(arena, &s, "prepared, and nobody is", 0, 0, 13, 0); /* all but pages 0 and 1 */
	ck_assert_uint_eq(s.held_bytes, 0);
	ck_assert_uint_eq(s.held_bytes_peak, 17 * page);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(rollback_counts)
{
	cowarena *arena = arena_case(CASE_FAITHFUL);
	size_t page = page_size();
	char *p = page_block(arena, PAGES);

	memset(p, 1, PAGES * page);
	cowarena_snapshot *a = take_snapshot(arena, 0);
	memset(p, 2, 10 * page);
	cowarena_snapshot *b = take_snapshot(arena, 0);
	struct cowarena_stats s = stats_of(arena);
	ck_assert_int_eq(cowarena_rollback(arena, a), 0);
	/* A rollback writes to the pages that differ, and b needs them; but it takes no faults. */
	added(arena, &s, "rolled back", 0, 10, 0, 0);
	ck_assert_uint_eq(s.held_bytes, 20 * page);
	ck_assert_uint_eq(s.snapshots_live, 2);
	ck_assert_int_eq(cowarena_snapshot_release(a), 0);
	ck_assert_int_eq(cowarena_snapshot_release(b), 0);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(views_are_held)
{
	cowarena *arena = arena_case(CASE_FAITHFUL);
	size_t page = page_size();
	char *p = page_block(arena, PAGES);

	memset(p, 1, PAGES * page);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	memset(p, 2, 4 * page);
	struct cowarena_stats before = stats_of(arena);
	for (unsigned flags = 0; flags <= COWARENA_VIEW_PRIVATE; flags++) {
		cowarena_view *view = cowarena_view_open(s, flags);
		ck_assert_msg(view != NULL, "%s", cowarena_errmsg());
		/* Its copies of the pages that had changed: four, and that of the first round. */
		size_t own = (4 + flags) * page;
		ck_assert_uint_eq(stats_of(arena).held_bytes, before.held_bytes + own);
		ck_assert_uint_eq(stats_of(arena).mappings, before.mappings + 2);
		/* A page that changes now is held twice: by the snapshot, and by the view. */
		p[(10 + flags) * page] = 3;
		ck_assert_uint_eq(stats_of(arena).held_bytes, before.held_bytes + own + 2 * page);
		ck_assert_int_eq(cowarena_view_close(view), 0);
		before.held_bytes += page; /* the snapshot's stays */
		ck_assert_uint_eq(stats_of(arena).held_bytes, before.held_bytes);
		before.mappings = stats_of(arena).mappings;
	}
	ck_assert_uint_eq(stats_of(arena).copied - before.copied, 2);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	cowarena_destroy(arena);
}
END_TEST

/* ---- in any mode ---- */

START_TEST(snapshots)
{
	cowarena *arena = arena_case(_i);
	cowarena_snapshot *s[5];

	ck_assert_uint_eq(stats_of(arena).pause_ns_last, 0);
	for (unsigned i = 0; i < 5; i++) {
		s[i] = take_snapshot(arena, 0);
		struct cowarena_stats now = stats_of(arena);
		ck_assert_uint_eq(cowarena_snapshot_id(s[i]), i + 1);
		ck_assert_uint_eq(now.snapshots_taken, i + 1);
		ck_assert_uint_eq(now.snapshots_live, i + 1);
		ck_assert_uint_gt(now.pause_ns_last, 0);
		ck_assert_uint_ge(now.pause_ns_max, now.pause_ns_last);
	}
	uint64_t longest = stats_of(arena).pause_ns_max;
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_int_eq(cowarena_snapshot_release(s[i * 2 % 5]), 0);
		ck_assert_uint_eq(stats_of(arena).snapshots_live, 4 - i);
	}
	ck_assert_uint_eq(stats_of(arena).snapshots_taken, 5);
	ck_assert_uint_eq(stats_of(arena).pause_ns_max, longest);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(heap_bytes)
{
	cowarena *arena = arena_case(_i);
	struct cowarena_stats empty = stats_of(arena);
	uint64_t usable = 0;
	void *p[50];

	/* Nothing but the bookkeeping. */
	ck_assert_uint_eq(empty.live_bytes, 0);
	ck_assert_uint_gt(empty.arena_bytes, 0);
	ck_assert_uint_eq(empty.arena_bytes % page_size(), 0);
	for (size_t i = 0; i < 50; i++) {
		p[i] = cowarena_alloc(arena, i * i * 40);
		usable += cowarena_usable_size(arena, p[i]);
		ck_assert_uint_eq(stats_of(arena).live_bytes, usable);
	}
	struct cowarena_stats full = stats_of(arena);
	if (_i != CASE_HUGE && _i != CASE_MIXED) /* which has grown before */
		ck_assert_uint_ge(full.arena_bytes, empty.arena_bytes + usable);
	ck_assert_uint_lt(full.arena_bytes, empty.arena_bytes + 2 * usable);
	for (size_t i = 0; i < 50; i += 2) {
		usable -= cowarena_usable_size(arena, p[i]);
		cowarena_free(arena, p[i]);
		ck_assert_uint_eq(stats_of(arena).live_bytes, usable);
	}
	usable -= cowarena_usable_size(arena, p[1]);
	p[1] = cowarena_realloc(arena, p[1], 300000);
	usable += cowarena_usable_size(arena, p[1]);
	ck_assert_uint_eq(stats_of(arena).live_bytes, usable);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	cowarena_free(arena, p[1]);
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	ck_assert_uint_eq(stats_of(arena).live_bytes, usable);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(times)
{
	cowarena *arena = arena_case(_i % 2);
	volatile char *p = page_block(arena, PAGES);
	struct cowarena_stats s;

	for (int round = 0; round < 20; round++) {
		cowarena_snapshot *snap = take_snapshot(arena, 0);
		for (size_t i = 0; i < PAGES; i++) /* backwards: nothing is copied ahead */
			p[(PAGES - 1 - i) * page_size()] = 1;
		ck_assert_int_eq(cowarena_snapshot_release(snap), 0);
	}
	s = stats_of(arena);
	ck_assert_uint_ge(s.faults, 20 * PAGES - PAGES * (_i == CASE_DEFAULT));
	ck_assert_uint_gt(s.fault_ns_p50, 0);
	ck_assert_uint_ge(s.fault_ns_p99, s.fault_ns_p50);
	ck_assert_uint_ge(s.fault_ns_max, s.fault_ns_p99);
	cowarena_destroy(arena);
}
END_TEST

/* Put durations into the histogram, and ask for the percentiles. */
START_TEST(percentiles)
{
	cowarena *arena = arena_case(CASE_DEFAULT);
	struct counters *c = &arena->counters;
	struct cowarena_stats s = stats_of(arena);

	ck_assert_uint_eq(s.fault_ns_p50 + s.fault_ns_p99 + s.fault_ns_max, 0);
	for (uint64_t ns = 1; ns <= 10000; ns++) {
		struct counter_shard *shard = &c->shard[ns * 7 % GATE_SHARDS];
		stats_add(&shard->histogram[stats_bucket(ns)], 1);
		stats_max(&shard->fault_ns_max, ns);
	}
	s = stats_of(arena);
	ck_assert_uint_ge(s.fault_ns_p50, 5000);
	ck_assert_uint_le(s.fault_ns_p50, 5000 + 5000 / 8);
	ck_assert_uint_ge(s.fault_ns_p99, 9900);
	ck_assert_uint_le(s.fault_ns_p99, 10000);
	ck_assert_uint_eq(s.fault_ns_max, 10000);
	/* Two slow ones in a hundred are the 99th percentile, one is not. */
	cowarena_destroy(arena);
	for (int slow = 1; slow <= 2; slow++) {
		arena = arena_case(CASE_DEFAULT);
		c = &arena->counters;
		stats_add(&c->shard[0].histogram[stats_bucket(1000)], (uint64_t)(100 - slow));
		stats_add(&c->shard[1].histogram[stats_bucket(1 << 20)], (uint64_t)slow);
		stats_max(&c->shard[1].fault_ns_max, 1 << 20);
		s = stats_of(arena);
		ck_assert_uint_le(s.fault_ns_p50, 1000 + 1000 / 8);
		if (slow == 1)
			ck_assert_uint_le(s.fault_ns_p99, 1000 + 1000 / 8);
		else
			ck_assert_uint_eq(s.fault_ns_p99, 1 << 20);
		cowarena_destroy(arena);
	}
}
END_TEST

/* ---- the buckets ---- */

static void check_bucket(uint64_t ns)
{
	unsigned bucket = stats_bucket(ns);
	uint64_t top = stats_bucket_top(bucket);

	if (bucket >= STATS_BUCKETS || top < ns || top - ns > ns / 8)
		ck_abort_msg("%llu ns: bucket %u, up to %llu", (unsigned long long)ns, bucket,
			     (unsigned long long)top);
	/* The top belongs to the bucket, what follows does not. */
	if (stats_bucket(top) != bucket ||
	    (bucket < STATS_BUCKETS - 1 && stats_bucket(top + 1) != bucket + 1))
		ck_abort_msg("the top of bucket %u is %llu", bucket, (unsigned long long)top);
}

START_TEST(buckets)
{
	unsigned last = 0;

	for (uint64_t ns = 0; ns <= 100000; ns++) {
		check_bucket(ns);
		if (stats_bucket(ns) < last)
			ck_abort_msg("bucket %u after %u", stats_bucket(ns), last);
		last = stats_bucket(ns);
	}
	for (unsigned log = 1; log < 42; log++)
		for (int off = -1; off <= 1; off++)
			check_bucket(((uint64_t)1 << log) + (uint64_t)off);
	/* An hour and more is one bucket. */
	ck_assert_uint_eq(stats_bucket((uint64_t)1 << 42), STATS_BUCKETS - 1);
	ck_assert_uint_eq(stats_bucket(UINT64_MAX), STATS_BUCKETS - 1);
	for (unsigned i = 1; i < STATS_BUCKETS; i++)
		ck_assert_uint_gt(stats_bucket_top(i), stats_bucket_top(i - 1));
}
END_TEST

/* ---- without asking the kernel ---- */

static struct cowarena_stats peeked(cowarena *arena)
{
	struct cowarena_stats s = {.sz = sizeof s};

	ck_assert_int_eq(cowarena_stats_peek(arena, &s), 0);
	return s;
}

START_TEST(peek_tells_what_get_has_found)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, PAGES);

	memset(p, 1, PAGES * page_size());
	ck_assert_ptr_nonnull(take_snapshot(arena, 0));
	memset(p, 2, PAGES * page_size());
	struct cowarena_stats got = stats_of(arena), seen = peeked(arena);
	got.mappings = 0;
	for (size_t f = 0; f < FIELDS; f++)
		ck_assert_msg(value(&seen, f) == value(&got, f), "%s", fields[f].name);
	cowarena_destroy(arena);
}
END_TEST

struct peeker {
	cowarena *arena;
	atomic_bool done;
};

static void *peek(void *arg)
{
	struct peeker *p = arg;

	peeked(p->arena);
	atomic_store(&p->done, true);
	return NULL;
}

/* An event loop asks while another thread has the lock for long. */
START_TEST(peek_waits_for_no_snapshot)
{
	struct peeker peeker = {.arena = arena_case(_i)};
	pthread_t thread;
	sigset_t signals;

	arena_lock_snapshots(peeker.arena, &signals);
	ck_assert_int_eq(pthread_create(&thread, NULL, peek, &peeker), 0);
	AWAIT(atomic_load(&peeker.done));
	ck_assert(atomic_load(&peeker.done));
	arena_unlock_snapshots(peeker.arena, &signals);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	cowarena_destroy(peeker.arena);
}
END_TEST

START_TEST(kernels_copies_are_found_when_asked_for)
{
	cowarena *arena = arena_case(_i ? CASE_UNWATCHED : CASE_KERNEL);
	char *p = page_block(arena, PAGES);

	memset(p, 1, PAGES * page_size());
	ck_assert_ptr_nonnull(take_snapshot(arena, 0));
	uint64_t before = stats_of(arena).copied;
	memset(p, 2, PAGES * page_size());
	ck_assert_uint_eq(peeked(arena).copied, before);
	ck_assert_uint_ge(stats_of(arena).copied, before + PAGES);
	ck_assert_uint_ge(peeked(arena).copied, before + PAGES);
	cowarena_destroy(arena);
}
END_TEST

/* ---- structs of other versions ---- */

START_TEST(struct_sizes)
{
	cowarena *arena = arena_case(_i);
	struct {
		struct cowarena_stats s;
		char more[32];
	} room;
	unsigned char *raw = (unsigned char *)&room;

	ck_assert_ptr_nonnull(take_snapshot(arena, 0));
	struct cowarena_stats now = stats_of(arena);
	for (size_t sz = sizeof room.s.sz; sz <= sizeof room; sz += 8) {
		memset(&room, 0x5a, sizeof room);
		room.s.sz = sz;
		ck_assert_int_eq(cowarena_stats_get(arena, &room.s), 0);
		ck_assert_uint_eq(room.s.sz, sz);
		for (size_t f = 0; f < FIELDS; f++)
			if (fields[f].offset < sz)
				ck_assert_msg(value(&room.s, f) == value(&now, f), "%s",
					      fields[f].name);
		/* Fields that we do not have are 0, what is beyond the caller's struct stays. */
		for (size_t i = sizeof room.s; i < sz; i++)
			ck_assert_uint_eq(raw[i], 0);
		for (size_t i = sz; i < sizeof room; i++)
			ck_assert_uint_eq(raw[i], 0x5a);
	}
	cowarena_destroy(arena);
}
END_TEST

/* ---- printing ---- */

static char *printed(cowarena *arena, unsigned flags)
{
	char *text = NULL;
	size_t n;
	FILE *stream = open_memstream(&text, &n);

	errno = 77;
	ck_assert_int_eq(cowarena_stats_print(arena, stream, flags), 0);
	fclose(stream);
	ck_assert_uint_eq(strlen(text), n);
	return text;
}

/* A member's value: a number, or, for "engine", a string. */
static uint64_t json_value(char **at, const char *key, cowarena *arena)
{
	char *end, *p = *at;

	if (strcmp(key, "engine") == 0) {
		size_t n = strcspn(p + 1, "\"\\");
		ck_assert_msg(*p == '"' && p[n + 1] == '"', "engine: %s", p);
		p[n + 1] = 0;
		ck_assert_str_eq(p + 1, cowarena_engine_name(arena));
		*at = p + n + 2;
		return 0;
	}
	/* JSON's integers: no sign that means nothing, no leading zeros. */
	ck_assert_msg(isdigit((unsigned char)*p) && !(*p == '0' && isdigit((unsigned char)p[1])),
		      "%s: %s", key, p);
	uint64_t v = strtoull(p, &end, 10);
	*at = end;
	return v;
}

START_TEST(json)
{
	cowarena *arena = arena_case(_i);
	volatile char *p = page_block(arena, PAGES);
	*p = 1;
	ck_assert_ptr_nonnull(take_snapshot(arena, 0));
	*p = 2;
	struct cowarena_stats s = stats_of(arena);
	char *text = printed(arena, COWARENA_STATS_JSON), *at = text;
	bool seen[FIELDS] = {false}, engine = false;

	ck_assert_int_eq(*at++, '{');
	for (bool more = true; more;) {
		at += strspn(at, " \t\n");
		ck_assert_int_eq(*at++, '"');
		char *key = at;
		at += strcspn(at, "\"\\");
		ck_assert_int_eq(*at, '"');
		*at++ = 0;
		at += strspn(at, " \t\n");
		ck_assert_int_eq(*at++, ':');
		at += strspn(at, " \t\n");
		uint64_t v = json_value(&at, key, arena);
		size_t f = 0;
		while (f < FIELDS && strcmp(key, fields[f].name) != 0)
			f++;
		if (f < FIELDS) {
			ck_assert_msg(!seen[f], "%s, twice", key);
			ck_assert_msg(v == value(&s, f), "%s: %llu", key, (unsigned long long)v);
			seen[f] = true;
		} else {
			ck_assert_msg(!engine && strcmp(key, "engine") == 0, "what is %s?", key);
			engine = true;
		}
		at += strspn(at, " \t\n");
		more = *at == ',';
		ck_assert_int_eq(*at++, more ? ',' : '}');
	}
	ck_assert_str_eq(at, "\n");
	for (size_t f = 0; f < FIELDS; f++)
		ck_assert_msg(seen[f], "%s is missing", fields[f].name);
	free(text);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(table)
{
	cowarena *arena = arena_case(_i);
	ck_assert_ptr_nonnull(take_snapshot(arena, 0));
	struct cowarena_stats s = stats_of(arena);
	char *text = printed(arena, 0), *rest = text, *line;
	char name[40], v[40];

	line = strtok_r(rest, "\n", &rest);
	ck_assert_int_eq(sscanf(line, "%39s %39s", name, v), 2);
	ck_assert_str_eq(name, "engine");
	ck_assert_str_eq(v, cowarena_engine_name(arena));
	size_t width = strlen(line);
	for (size_t f = 0; f < FIELDS; f++) {
		line = strtok_r(NULL, "\n", &rest);
		ck_assert_ptr_nonnull(line);
		ck_assert_int_eq(sscanf(line, "%39s %39s", name, v), 2);
		ck_assert_str_eq(name, fields[f].name);
		ck_assert_uint_eq(strtoull(v, NULL, 10), value(&s, f));
		ck_assert_uint_eq(strlen(line), width); /* columns */
	}
	ck_assert_ptr_null(strtok_r(NULL, "\n", &rest));
	free(text);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(full_disk)
{
	cowarena *arena = arena_case(CASE_DEFAULT);
	FILE *full = fopen("/dev/full", "w");

	if (full) {
		for (unsigned flags = 0; flags <= COWARENA_STATS_JSON; flags++) {
			setvbuf(full, NULL, _IONBF, 0);
			errno = 0;
			ck_assert_int_eq(cowarena_stats_print(arena, full, flags), -1);
			ck_assert_int_eq(errno, ENOSPC);
			ck_assert_str_ne(cowarena_errmsg(), "");
			clearerr(full);
		}
		fclose(full);
	}
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stats");
	TCase *counters = tcase_create("counters"), *output = tcase_create("output");

	tcase_add_test(counters, faults);
	tcase_add_test(counters, rollback_counts);
	tcase_add_test(counters, views_are_held);
	tcase_add_loop_test(counters, snapshots, 0, CASES);
	tcase_add_loop_test(counters, heap_bytes, 0, CASES);
	tcase_add_loop_test(counters, times, 0, 2);
	tcase_add_test(counters, percentiles);
	tcase_add_test(counters, buckets);
	tcase_add_loop_test(counters, peek_tells_what_get_has_found, 0, CASES);
	tcase_add_loop_test(counters, peek_waits_for_no_snapshot, 0, CASES);
	tcase_add_loop_test(counters, kernels_copies_are_found_when_asked_for, 0, 2);
	suite_add_tcase(suite, counters);
	tcase_add_loop_test(output, struct_sizes, 0, CASES);
	tcase_add_loop_test(output, json, 0, CASES);
	tcase_add_loop_test(output, table, 0, CASES);
	tcase_add_test(output, full_disk);
	suite_add_tcase(suite, output);
	return run_suite(suite);
}
