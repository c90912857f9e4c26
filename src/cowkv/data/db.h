/* SPDX-License-Identifier: BSD-2-Clause */
/* db.h - the keys, and when they expire. It lies in the arena, as its root. */
#ifndef COWKV_DB_H
#define COWKV_DB_H

#include "data/value.h"

/* A heap by time, the earliest on top: what expires next is known without searching. */
struct expiry {
	int64_t when; /* Unix time in ms */
	struct entry *entry;
};

struct db {
	struct dict keys; /* entry->value: struct value */
	struct expiry *expiries;
	size_t expiring, room;
};

extern struct db *db;

/* An expired key is deleted when it is met. A replica waits for its master to do it, and until then
   behaves as if the key were gone; but what its master sends is applied to all keys there are. */
enum db_expiring { DB_DELETES, DB_HIDES, DB_KEEPS };
extern enum db_expiring db_expiring;

/* Called with each key that has expired, before it is deleted. */
extern void (*db_on_expired)(struct slice key);

extern uint64_t db_hits, db_misses, db_expired;

/* Changes since the last save. */
extern uint64_t db_changes;

void db_open(void);

/* Unix time in ms: of when the command began that is running, so that it sees one time. */
int64_t db_now(void);
void db_tick(void); /* look at the clock */

/* The entry of a key; NULL if there is none, or it has expired. */
struct entry *db_find(struct slice key);

/* The value of a key, for a command that reads it: counts a hit or a miss. NULL if there is
   none. */
struct value *db_read(struct slice key);

/* The value of a key's entry. */
static inline struct value *db_value(const struct entry *e)
{
	return e->value;
}

/* Set a key, which need not be there yet: the value that it had is freed. The key does not expire
   any more. The value belongs to the db from now on. */
struct entry *db_set(struct slice key, void *value);

/* Give an entry another value, or its value at another place; the one before is not freed. The key
   expires as before: `expiry` is the member of the value that was there. */
void db_put(struct entry *e, void *value, uint32_t expiry);

/* Delete a key with its value. Returns whether there was one. */
bool db_delete(struct slice key);

bool db_has_expired(const struct entry *e);

/* Whether there is room to let one more key expire. */
bool db_room_to_expire(const struct entry *e);

/* When a key expires; 0 if it does not. Set it; 0: never. */
int64_t db_expiry(const struct entry *e);
void db_expire(struct entry *e, int64_t when);

/* Delete up to n keys that have expired. Returns whether there may be more. */
bool db_expire_some(size_t n);

/* Any key that has not expired, or NULL. */
struct entry *db_random(void);

/* All keys gone. */
void db_flush(void);

#endif
