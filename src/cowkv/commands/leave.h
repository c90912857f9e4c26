/* SPDX-License-Identifier: BSD-2-Clause */
/* leave.h - how the server leaves. */
#ifndef COWKV_LEAVE_H
#define COWKV_LEAVE_H

#include <stdbool.h>

enum leave { LEAVE_AS_CONFIGURED, LEAVE_SAVING, LEAVE_WITHOUT };

/* Have the event loop end. Save before, if there are rules for saves, or `how` says so; if that
   save fails, return false: the server goes on. */
bool server_leave(enum leave how);

#endif
