/* SPDX-License-Identifier: BSD-2-Clause */
/* thread.h - background threads, which save, send and compact. */
#ifndef COWKV_THREAD_H
#define COWKV_THREAD_H

#include <pthread.h>

/*
 * Start a thread that calls run(ctx). It takes no signals: the event loop handles those. It yields
 * to the main thread where processors are scarce. Its stack has room for the tables of compression.
 * Returns 0, or the error number.
 */
int thread_start(pthread_t *thread, void *(*run)(void *ctx), void *ctx);

#endif
