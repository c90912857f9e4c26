/* SPDX-License-Identifier: BSD-2-Clause */
/* arenas.c - see arenas.h. */
#include "config.h"

#include "arena.h"
#include "arenas.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct cowarena *first;

static pthread_mutex_t ends = PTHREAD_MUTEX_INITIALIZER;

void arenas_lock(void)
{
	pthread_mutex_lock(&mutex);
	pthread_mutex_lock(&ends);
}

void arenas_unlock(void)
{
	pthread_mutex_unlock(&ends);
	pthread_mutex_unlock(&mutex);
}

void arenas_hold(void)
{
	pthread_mutex_lock(&mutex);
}

void arenas_release(void)
{
	pthread_mutex_unlock(&mutex);
}

void arenas_lock_at_end(void)
{
	pthread_mutex_lock(&ends);
}

void arenas_unlock_at_end(void)
{
	pthread_mutex_unlock(&ends);
}

void arenas_inherit(void)
{
	pthread_mutex_init(&ends, NULL);
}

struct cowarena *arenas_first(void)
{
	return first;
}

void arenas_add(struct cowarena *arena)
{
	arenas_lock();
	arena->arenas_next = first;
	first = arena;
	arenas_unlock();
}

void arenas_forget(struct cowarena *arena)
{
	struct cowarena **at = &first;

	arenas_lock();
	while (*at && *at != arena)
		at = &(*at)->arenas_next;
	if (*at)
		*at = arena->arenas_next;
	arenas_unlock();
}
