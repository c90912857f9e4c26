/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-in-skip.c - skips data in an RDB stream that cowkv has no use for (rdb-in.h). */
#include "config.h"

#include "base/log.h"
#include "rdb/rdb-in.h"

enum module_part { PART_EOF, PART_INT, PART_UINT, PART_FLOAT, PART_DOUBLE, PART_STRING };

bool rdb_in_skip_module(struct rdb_in *in)
{
	uint64_t part, n;
	struct slice s;

	if (!rdb_in_length(in, &n)) /* the module's id */
		return false;
	log_line(LOG_WARNING, "The RDB file has data of a module, which are ignored");
	while (rdb_in_length(in, &part)) {
		switch (part) {
		case PART_EOF:
			return true;
		case PART_INT:
		case PART_UINT:
			if (!rdb_in_length(in, &n))
				return false;
			break;
		case PART_FLOAT:
		case PART_DOUBLE:
			if (!rdb_in_bytes(in, part == PART_FLOAT ? 4 : 8))
				return false;
			break;
		case PART_STRING:
			if (!rdb_in_string(in, &s))
				return false;
			break;
		default:
			return rdb_in_fail(in, "data of a module of an unknown form");
		}
	}
	return false;
}

bool rdb_in_skip_function(struct rdb_in *in)
{
	struct slice s;

	if (!rdb_in_string(in, &s))
		return false;
	log_line(LOG_WARNING, "The RDB file has a library of functions, which is ignored");
	return true;
}
