/* SPDX-License-Identifier: BSD-2-Clause */
/* kinds.h - all kinds of values. */
#ifndef COWKV_KINDS_H
#define COWKV_KINDS_H

/* Set value_kinds (value.h). Called once, before the first value is made. */
void kinds_init(void);

#endif
