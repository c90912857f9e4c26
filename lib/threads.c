/* SPDX-License-Identifier: BSD-2-Clause */
/* threads.c - see threads.h. */
#include "config.h"

#include "threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Few bytes in the static thread-local storage, of which libraries that are loaded later have
   little. */
static _Thread_local uint64_t me __attribute__((tls_model("initial-exec")));
static _Thread_local bool asked __attribute__((tls_model("initial-exec")));

static pthread_key_t ending;
static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static bool has_key;

static void (*_Atomic hearing[THREADS_HEAR])(uint64_t number);

/* If a later destructor uses the library, this thread becomes a new one. */
static void thread_ends(void *unused)
{
	(void)unused;
	for (int i = 0; i < THREADS_HEAR; i++) {
		void (*fn)(uint64_t) = atomic_load(&hearing[i]);
		if (fn)
			fn(me);
	}
	me = 0;
	asked = false;
}

static void prepare(void)
{
	has_key = pthread_key_create(&ending, thread_ends) == 0;
}

void threads_introduce(void)
{
	static _Atomic uint64_t numbers;

	if (asked)
		return;
	asked = true; /* set first: pthread_setspecific() may come back here through malloc(3) */
	pthread_once(&prepared, prepare);
	if (has_key && pthread_setspecific(ending, &ending) == 0)
		me = atomic_fetch_add(&numbers, 1) + 1;
}

uint64_t threads_me(void)
{
	return me;
}

void threads_hear(void (*fn)(uint64_t number))
{
	for (int i = 0; i < THREADS_HEAR; i++) {
		void (*none)(uint64_t) = NULL;
		if (atomic_compare_exchange_strong(&hearing[i], &none, fn) || none == fn)
			return;
	}
}
