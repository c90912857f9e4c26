/* SPDX-License-Identifier: BSD-2-Clause */
/* value-parts.h - what the files of value.h need of each other. */
#ifndef COWKV_VALUE_PARTS_H
#define COWKV_VALUE_PARTS_H

#include "value.h"

void list_clear(struct list *l);
void zset_init(struct zset *z);
void zset_clear(struct zset *z);

#endif
