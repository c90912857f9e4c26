/* SPDX-License-Identifier: BSD-2-Clause */
/* thread.h - threads that work in the background: they save, send, and compact. */
#ifndef COWKV_THREAD_H
#define COWKV_THREAD_H

#include <pthread.h>

/*
 * Start a thread that calls run(ctx). It takes no signals, which are for the event loop. Where
 * processors are scarce the main thread goes first. Its stack has room for the tables of
 * compression. Returns 0, or the error.
 */
int thread_start(pthread_t *thread, void *(*run)(void *ctx), void *ctx);

#endif
