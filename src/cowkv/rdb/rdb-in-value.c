/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-in-value.c - reads a value from an RDB stream (rdb-in.h), by its kind. */
#include "config.h"

#include "rdb/rdb-format.h"
#include "rdb/rdb-in.h"

void *rdb_in_value(struct rdb_in *in, unsigned type)
{
	for (size_t i = 0; i < VALUE_TYPES; i++)
		if (type < 32 && value_kinds[i]->rdb_types & RDB_BIT(type))
			return value_kinds[i]->read(in, type);
	if (type == RDB_MODULE || type == RDB_MODULE_2)
		rdb_in_fail(in, "a value of a module: delete such keys before saving");
	else if (type == RDB_STREAM || type == RDB_STREAM_2 || type == RDB_STREAM_3)
		rdb_in_fail(in, "a stream: there are none here, delete such keys before saving");
	else if (type == RDB_HASH_ZIPMAP)
		rdb_in_fail(in, "a hash as Redis before 2.6 saved it: load and save it with a "
				"newer redis-server first");
	else
		rdb_in_fail(in, "a value of an unknown type, %u", type);
	return NULL;
}
