/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-read.c - rdb_read() of rdb.h: the keys, and what is around them. */
#include "config.h"

#include "base/log.h"
#include "base/slice.h"
#include "rdb/rdb-format.h"
#include "rdb/rdb-in.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEY_BYTES 4        /* least bytes of a key in the stream: type, name, value */
#define KEY_MEMORY 128     /* most memory of a small key in the arena */
#define UNKNOWN_SIZE 65536 /* most keys to make room for if the stream's size is unknown */

struct reading {
	struct rdb_in in;
	const struct rdb_read_options *options;
	struct rdb_read_result *result;
	unsigned version;
	int64_t expires; /* when the next key expires; 0 if it does not */
};

/* ---- around the keys ---- */

static bool read_magic(struct reading *r)
{
	struct slice digits;
	const char *p = rdb_in_bytes(&r->in, RDB_MAGIC_LENGTH);

	if (!p)
		return false;
	if (memcmp(p, RDB_MAGIC, strlen(RDB_MAGIC)) != 0)
		return rdb_in_fail(&r->in, "this is no RDB file");
	digits = (struct slice){p + strlen(RDB_MAGIC), 4};
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.data[i] < '0' || digits.data[i] > '9')
			return rdb_in_fail(&r->in, "this is no RDB file");
		r->version = 10 * r->version + (unsigned)(digits.data[i] - '0');
	}
	if (!r->version || r->version > RDB_VERSION_MAX)
		return rdb_in_fail(&r->in, "RDB version %u is not known: 1 to %u are", r->version,
				   RDB_VERSION_MAX);
	return true;
}

static void tell_aux(struct reading *r, struct slice name, struct slice value)
{
	struct rdb_read_result *result = r->result;
	int64_t n;

	if (slice_is(name, "redis-ver")) {
		log_line(LOG_NOTICE, "Loading RDB produced by version %.*s",
			 value.len < 32 ? (int)value.len : 32, value.data);
	} else if (slice_is(name, "ctime") && slice_integer(value, &n)) {
		log_line(LOG_NOTICE, "RDB age %lld seconds", (long long)(db_now() / 1000 - n));
	} else if (slice_is(name, "used-mem") && slice_integer(value, &n)) {
		log_line(LOG_NOTICE, "RDB memory usage when created %.2f Mb",
			 (double)n / (1 << 20));
	} else if (slice_is(name, "repl-id") && value.len == RDB_REPL_ID) {
		memcpy(result->repl_id, value.data, RDB_REPL_ID);
	} else if (slice_is(name, "repl-offset") && slice_integer(value, &n)) {
		result->repl_offset = n;
	} else if (slice_is(name, "repl-stream-db") && slice_integer(value, &n)) {
		result->repl_db = n;
	}
}

static bool read_aux(struct reading *r)
{
	struct rdb_in *in = &r->in;
	struct slice name, value;
	char known[32] = "";

	if (!rdb_in_string(in, &name))
		return false;
	if (name.len < sizeof known)
		memcpy(known, name.data, name.len);
	if (!rdb_in_string(in, &value))
		return false;
	tell_aux(r, (struct slice){known, strlen(known)}, value);
	return true;
}

static bool select_db(struct rdb_in *in)
{
	uint64_t n;

	if (!rdb_in_length(in, &n))
		return false;
	return !n || rdb_in_fail(in,
				 "keys of database %" PRIu64 ", and there is only number 0: move "
				 "them there (MOVE key 0) before saving",
				 n);
}

/* Make room for the announced number of keys, as far as the stream can hold that many. */
static bool resize_db(struct reading *r)
{
	struct rdb_in *in = &r->in;
	uint64_t keys, expiring, most;

	if (!rdb_in_length(in, &keys) || !rdb_in_length(in, &expiring))
		return false;
	most = r->options->size ? r->options->size / KEY_BYTES : UNKNOWN_SIZE;
	if (keys > most)
		keys = most;
	if (keys < 4)
		return true;
	/* If memory may be scarce, tables grow as the keys come, as they did before the save. */
	if (heap_room(keys * (2 * sizeof(void *) + KEY_MEMORY)))
		dict_reserve(&db->keys, keys);
	return true;
}

static bool read_expiry(struct reading *r, unsigned opcode)
{
	size_t size = opcode == RDB_EXPIRETIME ? 4 : 8;
	const void *p = rdb_in_bytes(&r->in, size);
	uint64_t bits = 0;

	if (!p)
		return false;
	memcpy(&bits, p, size);
	bits = le64toh(bits);
	r->expires = size == 4 ? (int64_t)(int32_t)bits * 1000 : (int64_t)bits;
	if (r->expires <= 0)
		r->expires = 1; /* a time long past */
	return true;
}

/* ---- keys ---- */

static bool add_key(struct reading *r, struct slice key, void *value)
{
	bool added;

	if (!rdb_in_room(&r->in, key.len + KEY_MEMORY) ||
	    (r->expires && db->expiring == db->room &&
	     !rdb_in_room(&r->in, 2 * db->room * sizeof *db->expiries))) {
		value_free(value);
		return false;
	}
	struct entry *e;
	if (r->options->replace) {
		e = db_set(key, value);
	} else {
		e = dict_add(&db->keys, key, &added);
		if (!added) {
			value_free(value);
			return rdb_in_fail(&r->in, "it is there twice");
		}
		e->value = value;
	}
	if (r->expires)
		db_expire(e, r->expires);
	r->result->keys++;
	return true;
}

static bool read_key(struct reading *r, unsigned type)
{
	struct rdb_in *in = &r->in;
	struct buffer *key = &in->key;
	struct slice s;

	if (!rdb_in_string(in, &s))
		return false;
	buffer_trim(key, (size_t)1 << 20);
	key->at = key->len = 0;
	buffer_reserve(key, 1); /* an empty key needs an address too */
	buffer_add(key, s.data, s.len);
	void *value = rdb_in_value(in, type);
	if (in->failed)
		return false;
	bool fine = true;
	if (!value) {
		r->result->skipped++;
	} else if (r->expires && r->expires <= db_now() && !r->options->keep_expired) {
		value_free(value);
		if (r->options->expired)
			r->options->expired((struct slice){key->data, key->len});
		r->result->expired++;
	} else {
		fine = add_key(r, (struct slice){key->data, key->len}, value);
	}
	if (fine)
		key->at = key->len = 0;
	r->expires = 0;
	return fine;
}

/* ---- the whole ---- */

static bool read_part(struct reading *r, unsigned opcode)
{
	uint64_t n;

	switch (opcode) {
	case RDB_AUX:
		return read_aux(r);
	case RDB_SELECTDB:
		return select_db(&r->in);
	case RDB_RESIZEDB:
		return resize_db(r);
	case RDB_EXPIRETIME:
	case RDB_EXPIRETIME_MS:
		return read_expiry(r, opcode);
	case RDB_IDLE:
		return rdb_in_length(&r->in, &n);
	case RDB_FREQ:
		return rdb_in_bytes(&r->in, 1);
	case RDB_MODULE_AUX:
		return rdb_in_skip_module(&r->in);
	case RDB_FUNCTION_2:
		return rdb_in_skip_function(&r->in);
	case RDB_FUNCTION:
		return rdb_in_fail(&r->in, "functions of a release candidate of Redis 7.0");
	}
	return read_key(r, opcode);
}

static bool read_end(struct reading *r)
{
	struct rdb_in *in = &r->in;
	uint64_t sum = rdb_in_sum(in), said = 0;
	const char *rest;
	size_t n;

	if (r->version >= RDB_CHECKSUM_SINCE) {
		const void *p = rdb_in_bytes(in, sizeof said);
		if (!p)
			return false;
		memcpy(&said, p, sizeof said);
		said = le64toh(said);
		/* 0 means that the stream was written without a checksum. */
		if (said && said != sum && !r->options->ignore_checksum)
			return rdb_in_fail(in, "the checksum is wrong: the file is damaged");
	}
	r->result->bytes = rdb_in_offset(in);
	if (r->options->rest) {
		n = in->len - in->at;
		if (n)
			r->options->rest(in->source->ctx, in->data + in->at, n);
		return true;
	}
	/* Damage could make up an end in front of eight bytes of 0, which would pass for an end
	   without a checksum. So nothing may follow the end. */
	return !rdb_in_rest(in, &rest) ? !in->failed : rdb_in_fail(in, "it goes on behind its end");
}

bool rdb_read(const struct rdb_source *source, const struct rdb_read_options *options,
	      struct rdb_read_result *result)
{
	struct reading r = {.options = options, .result = result};
	unsigned opcode;
	bool fine = false;

	*result = (struct rdb_read_result){.repl_offset = -1, .repl_db = -1};
	if (rdb_in_open(&r.in, source, result->error, sizeof result->error) && read_magic(&r)) {
		db_tick();
		while ((fine = rdb_in_byte(&r.in, &opcode)) && opcode != RDB_EOF)
			if (!(fine = read_part(&r, opcode)))
				break;
		fine = fine && read_end(&r);
	}
	rdb_in_close(&r.in);
	return fine;
}
