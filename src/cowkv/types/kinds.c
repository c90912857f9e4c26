/* SPDX-License-Identifier: BSD-2-Clause */
/* kinds.c - all kinds of values. This file knows all files value-*.c. */
#include "config.h"

#include "types/kinds.h"
#include "types/value-hash.h"
#include "types/value-list.h"
#include "types/value-set.h"
#include "types/value-string.h"
#include "types/value-zset.h"

static const struct value_kind *const kinds[VALUE_TYPES] = {
    [VALUE_STRING] = &string_kind, [VALUE_LIST] = &list_kind, [VALUE_HASH] = &hash_kind,
    [VALUE_SET] = &set_kind,       [VALUE_ZSET] = &zset_kind,
};

void kinds_init(void)
{
	value_kinds = kinds;
}
