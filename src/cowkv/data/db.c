/* SPDX-License-Identifier: BSD-2-Clause */
/* db.c - see db.h. */
#include "config.h"

#include "data/db.h"

#include <time.h>

#define TRIES 100 /* attempts to find a random key that has not expired */

struct db *db;
enum db_expiring db_expiring;
void (*db_on_expired)(struct slice key);
uint64_t db_hits, db_misses, db_expired, db_changes;

static int64_t now_ms;

void db_tick(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	now_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t db_now(void)
{
	return now_ms;
}

void db_open(void)
{
	db = heap_zalloc(sizeof *db);
	db->keys = DICT_EMPTY;
	cowarena_set_root(heap, db);
	db_tick();
}

/* ---- the heap of expiries ---- */

static void place(size_t at, struct expiry x)
{
	db->expiries[at] = x;
	db_value(x.entry)->expiry = (uint32_t)at + 1;
}

/* Move x up from `at` to its place. */
static void sift_up(size_t at, struct expiry x)
{
	for (; at && db->expiries[(at - 1) / 2].when > x.when; at = (at - 1) / 2)
		place(at, db->expiries[(at - 1) / 2]);
	place(at, x);
}

/* Move x down from `at` to its place. */
static void sift_down(size_t at, struct expiry x)
{
	for (size_t child; (child = 2 * at + 1) < db->expiring; at = child) {
		if (child + 1 < db->expiring &&
		    db->expiries[child + 1].when < db->expiries[child].when)
			child++;
		if (db->expiries[child].when >= x.when)
			break;
		place(at, db->expiries[child]);
	}
	place(at, x);
}

int64_t db_expiry(const struct entry *e)
{
	uint32_t at = db_value(e)->expiry;

	return at ? db->expiries[at - 1].when : 0;
}

static void forget_expiry(struct value *v)
{
	size_t at = v->expiry;

	if (!at--)
		return;
	v->expiry = 0;
	struct expiry last = db->expiries[--db->expiring];
	if (at == db->expiring)
		return;
	if (at && db->expiries[(at - 1) / 2].when > last.when)
		sift_up(at, last);
	else
		sift_down(at, last);
}

void db_expire(struct entry *e, int64_t when)
{
	forget_expiry(db_value(e));
	if (!when)
		return;
	if (db->expiring == db->room) {
		db->room = db->room ? 2 * db->room : 64;
		db->expiries = heap_resize(db->expiries, db->room * sizeof *db->expiries);
	}
	sift_up(db->expiring++, (struct expiry){when, e});
}

bool db_room_to_expire(const struct entry *e)
{
	return (e && db_value(e)->expiry) || db->expiring < db->room ||
	       heap_room(3 * db->room * sizeof *db->expiries);
}

/* ---- keys ---- */

bool db_has_expired(const struct entry *e)
{
	int64_t when = db_expiry(e);

	return when && when <= now_ms;
}

static void drop(struct slice key)
{
	struct entry *e = dict_take(&db->keys, key);

	forget_expiry(db_value(e));
	value_free(e->value);
	heap_free(e);
	dict_shrink(&db->keys);
}

static void drop_expired(struct entry *e)
{
	db_expired++;
	if (db_on_expired)
		db_on_expired(entry_slice(e));
	drop(entry_slice(e));
}

struct entry *db_find(struct slice key)
{
	struct entry *e = dict_find(&db->keys, key);

	if (!e || !db_has_expired(e) || db_expiring == DB_KEEPS)
		return e;
	if (db_expiring == DB_DELETES)
		drop_expired(e);
	return NULL;
}

struct value *db_read(struct slice key)
{
	struct entry *e = db_find(key);

	*(e ? &db_hits : &db_misses) += 1;
	return e ? db_value(e) : NULL;
}

struct entry *db_set(struct slice key, void *value)
{
	bool added;
	struct entry *e = dict_add(&db->keys, key, &added);

	if (!added) {
		forget_expiry(db_value(e));
		value_free(e->value);
	}
	e->value = value;
	return e;
}

void db_put(struct entry *e, void *value, uint32_t expiry)
{
	e->value = value;
	db_value(e)->expiry = expiry;
}

bool db_delete(struct slice key)
{
	if (!db_find(key))
		return false;
	drop(key);
	return true;
}

bool db_expire_some(size_t n)
{
	while (n-- && db->expiring && db->expiries[0].when <= now_ms)
		drop_expired(db->expiries[0].entry);
	return db->expiring && db->expiries[0].when <= now_ms;
}

struct entry *db_random(void)
{
	struct entry *e;

	for (int i = 0; i < TRIES && (e = dict_random(&db->keys)) != NULL; i++) {
		if (!db_has_expired(e))
			return e;
		if (db_expiring == DB_DELETES)
			drop_expired(e);
	}
	return NULL;
}

void db_flush(void)
{
	heap_free(db->expiries);
	db->expiries = NULL;
	db->expiring = db->room = 0;
	dict_clear(&db->keys, value_free);
}
