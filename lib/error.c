/* SPDX-License-Identifier: BSD-2-Clause */
/* error.c - failures as sentences, and the log. */
#include "config.h"

#include "cowarena.h"
#include "error.h"
#include "os.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 320
#define POOL 16

/*
 * Where a thread's message is: in the pool, so that it needs no memory when there is none, or in memory of its own
 * when that many threads have failed. A pointer, and not the text, since thread-local storage is scarce for a library
 * that is loaded later (heap-locals.c has the rest). Never touched by the fault handler.
 */
static _Thread_local char *message;

static struct {
	_Atomic bool taken;
	char text[MESSAGE_MAX];
} pool[POOL];

static char last_resort[MESSAGE_MAX]; /* of threads for which there is no other: they may mix */

static pthread_key_t ending;
static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static bool has_key;

/* Changed together only in cowarena_set_log(); a reader that meets a change between the two sees
   the old function with the new context for one message, so the function is cleared first. */
static void (*_Atomic log_fn)(void *, const char *);
static void *_Atomic log_ctx;

/* The thread ends. */
static void give_back(void *text)
{
	message = NULL;
	for (size_t i = 0; i < POOL; i++)
		if (text == pool[i].text) {
			atomic_store(&pool[i].taken, false);
			return;
		}
	free(text);
}

static void prepare(void)
{
	has_key = pthread_key_create(&ending, give_back) == 0;
}

static char *new_buffer(void)
{
	for (size_t i = 0; i < POOL; i++)
		if (!atomic_exchange(&pool[i].taken, true))
			return pool[i].text;
	return malloc(MESSAGE_MAX);
}

/* The thread's buffer, from the first failure to the thread's end. */
static char *buffer(void)
{
	if (message)
		return message;
	pthread_once(&prepared, prepare);
	if (!has_key)
		return last_resort;
	char *text = new_buffer();
	if (!text)
		return last_resort;
	if (pthread_setspecific(ending, text)) {
		give_back(text);
		return last_resort;
	}
	message = text;
	return text;
}

static void format_message(int errnum, const char *format, va_list ap)
{
	char *text = buffer();

	vsnprintf(text, MESSAGE_MAX, format, ap);
	message = text;
	errno = errnum;
}

int error_set(int errnum, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	format_message(errnum, format, ap);
	va_end(ap);
	return -1;
}

void *error_null(int errnum, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	format_message(errnum, format, ap);
	va_end(ap);
	return NULL;
}

const char *cowarena_errmsg(void)
{
	return message ? message : "";
}

void cowarena_set_log(void (*fn)(void *ctx, const char *message), void *ctx)
{
	atomic_store(&log_fn, NULL);
	atomic_store(&log_ctx, ctx);
	atomic_store(&log_fn, fn);
}

void error_log(const char *text)
{
	void (*fn)(void *, const char *) = atomic_load(&log_fn);

	if (fn) {
		fn(atomic_load(&log_ctx), text);
		return;
	}
	char line[MESSAGE_MAX + 16] = "cowarena: ";
	size_t n = strlen(line);
	size_t len = strlen(text);
	if (len > sizeof line - n - 1)
		len = sizeof line - n - 1;
	memcpy(line + n, text, len);
	line[n + len] = '\n';
	os_write_stderr(line, n + len + 1); /* one call, so that lines of threads do not mix */
}

void error_fatal(const char *text, const void *address)
{
	char line[MESSAGE_MAX];

	snprintf(line, sizeof line, "%s (address %p)", text, address);
	error_log(line);
	abort();
}

const char *cowarena_version(void)
{
	return PACKAGE_VERSION;
}
