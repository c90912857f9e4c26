/* SPDX-License-Identifier: BSD-2-Clause */
/* kinds.c - all kinds of values: this file knows each of the files value-*.c. */
#include "config.h"

#include "kinds.h"
#include "value-hash.h"
#include "value-list.h"
#include "value-set.h"
#include "value-string.h"
#include "value-zset.h"

static const struct value_kind *const kinds[VALUE_TYPES] = {
    [VALUE_STRING] = &string_kind, [VALUE_LIST] = &list_kind, [VALUE_HASH] = &hash_kind,
    [VALUE_SET] = &set_kind,       [VALUE_ZSET] = &zset_kind,
};

void kinds_init(void)
{
	value_kinds = kinds;
}
