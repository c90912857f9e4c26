/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-write.c - rdb_write() of rdb.h: the keys, and what is around them. */
#include "config.h"

#include "rdb/rdb-format.h"
#include "rdb/rdb-walk.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

#define REDIS_VERSION "7.0.15" /* the version whose format is written */

/* Get a value's address in the view, and its kind; NULL if it is not in the view. */
static const struct value *reach(struct walk *w, const struct value *live,
				 const struct value_kind **kind)
{
	const struct value *v = WALK_REACH(w, live);

	if (!v)
		return NULL;
	unsigned type = v->type;
	WALK_PIN(type);
	if (type >= VALUE_TYPES) {
		w->torn = true;
		return NULL;
	}
	*kind = value_kinds[type];
	return walk_reach(w, live, (*kind)->size);
}

/* Expired keys are written too, as Redis does: the reader of the file knows the time. */
static void write_key(struct walk *w, const struct entry *e)
{
	const struct value_kind *kind;
	const struct value *v = reach(w, e->value, &kind);

	if (!v)
		return;
	size_t expiry = v->expiry;
	WALK_PIN(expiry);
	if (expiry && expiry > w->expiring) {
		w->torn = true;
		return;
	}
	if (expiry) {
		uint64_t when = htole64((uint64_t)w->expiries[expiry - 1].when);
		rdb_out_byte(&w->out, RDB_EXPIRETIME_MS);
		rdb_out_bytes(&w->out, &when, sizeof when);
	}
	rdb_out_byte(&w->out, kind->rdb_type);
	walk_text(w, e->key, e->len);
	kind->write(w, v);
	w->keys++;
}

static void write_aux(struct walk *w, const char *name, const char *value)
{
	rdb_out_byte(&w->out, RDB_AUX);
	rdb_out_string(&w->out, name, strlen(name));
	rdb_out_string(&w->out, value, strlen(value));
}

static void write_aux_number(struct walk *w, const char *name, int64_t n)
{
	char digits[24];

	snprintf(digits, sizeof digits, "%lld", (long long)n);
	write_aux(w, name, digits);
}

static void write_head(struct walk *w, const struct rdb_data *data,
		       const struct rdb_write_options *options)
{
	char magic[RDB_MAGIC_LENGTH + 1];

	snprintf(magic, sizeof magic, RDB_MAGIC "%04d", RDB_VERSION);
	rdb_out_bytes(&w->out, magic, RDB_MAGIC_LENGTH);
	write_aux(w, "redis-ver", REDIS_VERSION);
	write_aux_number(w, "redis-bits", 64);
	write_aux_number(w, "ctime", time(NULL));
	write_aux_number(w, "used-mem", (int64_t)data->used);
	if (options->repl_id) {
		write_aux_number(w, "repl-stream-db", 0);
		write_aux(w, "repl-id", options->repl_id);
		write_aux_number(w, "repl-offset", options->repl_offset);
	}
	write_aux_number(w, "aof-base", 0);
}

static void write_db(struct walk *w, const struct db *db_live)
{
	const struct db *d = WALK_REACH(w, db_live);

	if (!d || !d->keys.used)
		return;
	w->expiring = d->expiring;
	if (w->expiring > w->size / sizeof *w->expiries)
		w->torn = true;
	else if (w->expiring)
		w->expiries = walk_reach(w, d->expiries, w->expiring * sizeof *w->expiries);
	rdb_out_byte(&w->out, RDB_SELECTDB);
	rdb_out_length(&w->out, 0);
	rdb_out_byte(&w->out, RDB_RESIZEDB);
	rdb_out_length(&w->out, d->keys.used);
	rdb_out_length(&w->out, w->expiring);
	walk_dict(w, &d->keys, write_key);
}

enum rdb_written rdb_write(const struct rdb_sink *sink, const struct rdb_data *data,
			   const struct rdb_write_options *options, uint64_t *keys)
{
	struct walk w = {
	    .shift = data->shift, .low = data->low, .size = data->size, .view = data->view};

	if (!rdb_out_open(&w.out, sink, options->compress))
		return RDB_NOT_TAKEN;
	write_head(&w, data, options);
	if (walk_goes_on(&w))
		write_db(&w, data->root);
	if (walk_goes_on(&w)) { /* the last check of the view */
		rdb_out_byte(&w.out, RDB_EOF);
		rdb_out_flush(&w.out);
		uint64_t crc = htole64(w.out.crc);
		rdb_out_bytes(&w.out, &crc, sizeof crc);
		rdb_out_flush(&w.out);
	}
	rdb_out_close(&w.out);
	if (keys)
		*keys = w.keys;
	errno = w.out.failed;
	return w.torn ? RDB_SPOILED : w.out.failed ? RDB_NOT_TAKEN : RDB_WRITTEN;
}
