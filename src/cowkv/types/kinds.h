/* SPDX-License-Identifier: BSD-2-Clause */
/* kinds.h - all kinds of values. */
#ifndef COWKV_KINDS_H
#define COWKV_KINDS_H

/* Have value.h know all kinds: once, before the first value is made. */
void kinds_init(void);

#endif
