/* SPDX-License-Identifier: BSD-2-Clause */
/* leave.h - how the server leaves. */
#ifndef COWKV_LEAVE_H
#define COWKV_LEAVE_H

#include <stdbool.h>

enum leave { LEAVE_AS_CONFIGURED, LEAVE_SAVING, LEAVE_WITHOUT };

/* Have the event loop end; with a save before if there are rules for one, or `how` says so. Returns
   false, and the server goes on, if that save fails. */
bool server_leave(enum leave how);

#endif
