/* SPDX-License-Identifier: BSD-2-Clause */
/* error.c - failures as sentences, and the log. */
#include "config.h"

#include "cowarena.h"
#include "error.h"
#include "os.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 320

/* Never touched by the fault handler: dynamic TLS is not async-signal-safe. */
static _Thread_local char message[MESSAGE_MAX];

/* Changed together only in cowarena_set_log(); a reader that meets a change between the two sees
   the old function with the new context for one message, so the function is cleared first. */
static void (*_Atomic log_fn)(void *, const char *);
static void *_Atomic log_ctx;

static void format_message(int errnum, const char *format, va_list ap)
{
	vsnprintf(message, sizeof message, format, ap);
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
	return message;
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
