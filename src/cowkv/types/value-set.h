/* SPDX-License-Identifier: BSD-2-Clause */
/* value-set.h - sets. */
#ifndef COWKV_VALUE_SET_H
#define COWKV_VALUE_SET_H

#include "data/value.h"

/* entry->value is NULL. */
struct set {
	struct value value;
	struct dict members;
};

bool set_add(struct set *s, struct slice member);
bool set_remove(void *set, struct slice member);

extern const struct value_kind set_kind;

#endif
