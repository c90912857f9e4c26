/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-elements.c - see rdb-elements.h. */
#include "config.h"

#include "rdb-elements.h"

#include <inttypes.h>

bool elements_plain(struct elements *e, struct rdb_in *in, unsigned each)
{
	e->in = in;
	e->is_packed = false;
	if (!rdb_in_length(in, &e->left))
		return false;
	if (e->left > (uint64_t)INT64_MAX / each)
		return rdb_in_fail(in, "a value of %" PRIu64 " elements", e->left);
	e->left *= each;
	return true;
}

bool elements_block(struct elements *e, struct rdb_in *in, enum packed_kind kind,
		    struct slice block)
{
	e->in = in;
	e->is_packed = true;
	packed_open(&e->packed, kind, block);
	return !e->packed.error || rdb_in_fail(in, "%s", e->packed.error);
}

bool elements_packed(struct elements *e, struct rdb_in *in, enum packed_kind kind)
{
	struct slice block;

	return rdb_in_string(in, &block) && elements_block(e, in, kind, block);
}

bool elements_next(struct elements *e, struct slice *s)
{
	if (!e->is_packed)
		return e->left && (e->left--, rdb_in_string(e->in, s));
	if (packed_next(&e->packed, s))
		return true;
	if (e->packed.error)
		rdb_in_fail(e->in, "%s", e->packed.error);
	return false;
}

bool elements_next_of_pair(struct elements *e, struct slice *s)
{
	return elements_next(e, s) || rdb_in_fail(e->in, "a value whose elements should be pairs");
}

uint64_t elements_announced(const struct elements *e)
{
	return e->is_packed ? e->packed.count : e->left;
}
