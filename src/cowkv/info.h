/* SPDX-License-Identifier: BSD-2-Clause */
/* info.h - INFO: who this server is, and since when. */
#ifndef COWKV_INFO_H
#define COWKV_INFO_H

/* Called once, before INFO can be asked for. */
void info_init(void);

#endif
