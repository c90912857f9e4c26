/* SPDX-License-Identifier: BSD-2-Clause */
/* servers-talk.c - see servers.h; commands and their replies. */
#include "config.h"

#include "../common.h"
#include "servers.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE ((size_t)64 << 10)

static redisReply *call(struct server *s, const char *format, va_list args)
{
	redisReply *r = redisvCommand(s->link, format, args);

	ck_assert_msg(r != NULL, "no answer to %s: %s", format, s->link->errstr);
	return r;
}

redisReply *servers_call(struct server *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	redisReply *r = call(s, format, args);
	va_end(args);
	return r;
}

long long servers_number(struct server *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	redisReply *r = call(s, format, args);
	va_end(args);
	ck_assert_msg(r->type == REDIS_REPLY_INTEGER || r->type == REDIS_REPLY_STRING,
		      "%s: no number, but %s", format, r->str ? r->str : "nil");
	long long n = r->type == REDIS_REPLY_INTEGER ? r->integer : strtoll(r->str, NULL, 10);
	freeReplyObject(r);
	return n;
}

void servers_ok(struct server *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	redisReply *r = call(s, format, args);
	va_end(args);
	ck_assert_msg(r->type != REDIS_REPLY_ERROR, "%s: %s", format, r->str);
	freeReplyObject(r);
}

static bool has_saved(struct server *s)
{
	redisReply *r = servers_call(s, "SAVE");
	bool busy =
	    r->type == REDIS_REPLY_ERROR && strstr(r->str, "Background save already in progress");

	ck_assert_msg(r->type != REDIS_REPLY_ERROR || busy, "SAVE: %s", r->str);
	freeReplyObject(r);
	return !busy;
}

void servers_save(struct server *s)
{
	SERVERS_AWAIT(has_saved(s), "the save in the background has ended");
}

long long servers_info(struct server *s, const char *field)
{
	redisReply *r = servers_call(s, "INFO everything");
	long long n = -1;
	size_t len = strlen(field);

	ck_assert_int_eq(r->type, REDIS_REPLY_STRING);
	for (const char *p = r->str; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, field, len) == 0 && p[len] == ':')
			n = strtoll(p + len + 1, NULL, 10);
	}
	freeReplyObject(r);
	return n;
}

/* ---- in the raw ---- */

void servers_send(struct server *s, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(s->link->fd, data, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		ck_assert_msg(n > 0, "send: %s", strerror(errno));
		data += n;
		len -= (size_t)n;
	}
}

size_t servers_reply_length(const char *data, size_t len)
{
	const char *p = data, *end = data + len;

	for (long long left = 1; left; left--) {
		const char *cr = p < end ? memchr(p, '\r', (size_t)(end - p)) : NULL;
		if (!cr || cr + 2 > end)
			return 0;
		long long n = *p == '$' || *p == '*' ? strtoll(p + 1, NULL, 10) : 0;
		if (*p == '*' && n > 0)
			left += n;
		bool text = *p == '$' && n >= 0;
		p = cr + 2;
		if (text && end - p < n + 2)
			return 0;
		p += text ? n + 2 : 0;
	}
	return (size_t)(p - data);
}

const char *servers_raw_reply(struct server *s, size_t *len)
{
	struct bytes *in = &s->in;

	while ((*len = servers_reply_length(in->data + in->at, in->len - in->at)) == 0) {
		if (in->at) {
			memmove(in->data, in->data + in->at, in->len - in->at);
			in->len -= in->at;
			in->at = 0;
		}
		if (in->room - in->len < READ_SIZE) {
			in->room = 2 * in->room + READ_SIZE;
			in->data = realloc(in->data, in->room);
			ck_assert_ptr_nonnull(in->data);
		}
		ssize_t n = read(s->link->fd, in->data + in->len, in->room - in->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			servers_print_log(s);
		ck_assert_msg(n > 0, "%s does not answer: %s",
			      s->kind == REDIS ? "redis-server" : "cowkv",
			      n ? strerror(errno) : "it has hung up");
		in->len += (size_t)n;
	}
	in->at += *len;
	return in->data + in->at - *len;
}
