/* SPDX-License-Identifier: BSD-2-Clause */
/* reply.c - see reply.h. */
#include "config.h"

#include "base/log.h"
#include "net/reply.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool answers(struct client *c)
{
	if (!c->kind->answered || c->closing || c->dead)
		return false;
	client_wants_to_send(c);
	return true;
}

/* Whether there is room for an answer of n bytes, since a request or a transaction can ask for any
   amount. If not, the client is closed after the command. */
static bool fits(struct client *c, size_t n)
{
	if (!c->kind->bounded || buffer_size(&c->out) + n <= CLIENT_OUT_MAX)
		return true;
	log_line(LOG_WARNING, "Client %s is answered more than %zu bytes: closed", c->peer,
		 CLIENT_OUT_MAX);
	buffer_free(&c->out);
	c->dead = true;
	return false;
}

static void add_head(struct client *c, char prefix, int64_t n)
{
	c->out.len += buffer_head(buffer_reserve(&c->out, BUFFER_HEAD), prefix, n);
}

void reply_status(struct client *c, const char *text)
{
	if (answers(c))
		buffer_print(&c->out, "+%s\r\n", text);
}

void reply_int(struct client *c, int64_t n)
{
	if (answers(c) && fits(c, BUFFER_HEAD))
		add_head(c, ':', n);
}

void reply_bulk(struct client *c, struct slice s)
{
	if (!answers(c) || !fits(c, s.len + BUFFER_HEAD + 2))
		return;
	char *p = buffer_reserve(&c->out, s.len + BUFFER_HEAD + 2);
	size_t n = buffer_head(p, '$', (int64_t)s.len);
	if (s.len)
		memcpy(p + n, s.data, s.len);
	memcpy(p + n + s.len, "\r\n", 2);
	c->out.len += n + s.len + 2;
}

void reply_text(struct client *c, const char *text)
{
	reply_bulk(c, (struct slice){text, strlen(text)});
}

void reply_double(struct client *c, double d)
{
	char text[40];

	/* 17 digits represent each double exactly; infinities have Redis' names. */
	if (isinf(d))
		strcpy(text, d > 0 ? "inf" : "-inf");
	else
		snprintf(text, sizeof text, "%.17g", d);
	reply_text(c, text);
}

void reply_null(struct client *c)
{
	if (answers(c) && fits(c, 5))
		buffer_add(&c->out, "$-1\r\n", 5);
}

void reply_null_array(struct client *c)
{
	if (answers(c))
		buffer_add(&c->out, "*-1\r\n", 5);
}

void reply_array(struct client *c, size_t n)
{
	if (answers(c) && fits(c, BUFFER_HEAD))
		add_head(c, '*', (int64_t)n);
}

size_t reply_array_later(struct client *c)
{
	if (!answers(c))
		return 0;
	memset(buffer_reserve(&c->out, BUFFER_HEAD), 0, BUFFER_HEAD);
	c->out.len += BUFFER_HEAD;
	return buffer_size(&c->out); /* counted from `at`, which moves as bytes are sent */
}

void reply_array_set(struct client *c, size_t where, size_t n)
{
	char text[BUFFER_HEAD];

	if (!where || !answers(c))
		return;
	/* The head is shorter than the space left for it: close the gap. */
	size_t len = buffer_head(text, '*', (int64_t)n), end = c->out.at + where;
	char *p = c->out.data + end - BUFFER_HEAD;
	memmove(p + len, p + BUFFER_HEAD, c->out.len - end);
	memcpy(p, text, len);
	c->out.len -= BUFFER_HEAD - len;
}

void reply_error(struct client *c, const char *format, ...)
{
	char text[512];
	va_list args;

	c->failed = true;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	for (char *p = text; *p; p++)
		if (*p == '\r' || *p == '\n')
			*p = ' ';
	if (answers(c))
		buffer_print(&c->out, "-%s\r\n", text);
}

void reply_garbled(struct client *c, const char *why)
{
	reply_error(c, "ERR Protocol error: %s", why);
}

bool reply_failed(struct client *c)
{
	bool was = c->failed;

	c->failed = false;
	return was;
}
