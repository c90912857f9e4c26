/* SPDX-License-Identifier: BSD-2-Clause */
/* db.h - the keys, and when they expire. Struct db lies in the arena, as its root. */
#ifndef COWKV_DB_H
#define COWKV_DB_H

#include "data/value.h"

/* An element of a binary heap ordered by time: the next key to expire is on top. */
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

/* What an expired key becomes when a command meets it: it is deleted; in a replica it is hidden
   until the master deletes it; for the commands of a master it is a key like any other. */
enum db_expiring { DB_DELETES, DB_HIDES, DB_KEEPS };
extern enum db_expiring db_expiring;

/* Called with each expired key before it is deleted. */
extern void (*db_on_expired)(struct slice key);

extern uint64_t db_hits, db_misses, db_expired;

/* Number of changes since the last save. */
extern uint64_t db_changes;

void db_open(void);

/* The time at which the running command began, in Unix ms: a command sees one time throughout. */
int64_t db_now(void);
void db_tick(void); /* read the clock */

/* Find the entry of a key. NULL if there is none, or it has expired. */
struct entry *db_find(struct slice key);

/* Find the value of a key for a command that reads it, and count a hit or a miss. NULL if there is
   none. */
struct value *db_read(struct slice key);

/* The value of a key's entry. */
static inline struct value *db_value(const struct entry *e)
{
	return e->value;
}

/* Set a key, new or not. Its old value is freed, and its expiry removed. The db owns the value from
   now on. */
struct entry *db_set(struct slice key, void *value);

/* Give an entry another value, or its value at a new address. The old value is not freed. The key
   expires as before: `expiry` is that member of the old value. */
void db_put(struct entry *e, void *value, uint32_t expiry);

/* Delete a key with its value. Returns whether there was one. */
bool db_delete(struct slice key);

bool db_has_expired(const struct entry *e);

/* Whether there is room to let one more key expire. */
bool db_room_to_expire(const struct entry *e);

/* When a key expires; 0 if it does not. Setting it to 0 means never. */
int64_t db_expiry(const struct entry *e);
void db_expire(struct entry *e, int64_t when);

/* Delete up to n keys that have expired. Returns whether there may be more. */
bool db_expire_some(size_t n);

/* A random key that has not expired, or NULL. */
struct entry *db_random(void);

/* Delete all keys. */
void db_flush(void);

#endif
