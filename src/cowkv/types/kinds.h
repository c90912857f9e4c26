/* SPDX-License-Identifier: BSD-2-Clause */
/* kinds.h - all kinds of values. */
#ifndef COWKV_KINDS_H
#define COWKV_KINDS_H

/* Let there be values: once, before the first. */
void kinds_init(void);

#endif
