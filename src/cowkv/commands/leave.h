/* SPDX-License-Identifier: BSD-2-Clause */
/* leave.h - how the server leaves. */
#ifndef COWKV_LEAVE_H
#define COWKV_LEAVE_H

#include <stdbool.h>

enum leave { LEAVE_AS_CONFIGURED, LEAVE_SAVING, LEAVE_WITHOUT };

/* Make the event loop end. First saves, if there are rules for saves or `how` demands it. If that
   save fails, returns false, and the server goes on. */
bool server_leave(enum leave how);

#endif
