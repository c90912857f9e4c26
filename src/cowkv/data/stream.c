/* SPDX-License-Identifier: BSD-2-Clause */
/* stream.c - see stream.h. */
#include "config.h"

#include "base/settings.h"
#include "data/stream.h"

#include <stdlib.h>
#include <string.h>

#define KEEP ((size_t)64 << 10) /* room that an empty buffer keeps */

#define NO_ID "0000000000000000000000000000000000000000"

struct stream stream;
void (*stream_sink)(const char *data, size_t n);

void stream_init(void)
{
	if (!*stream.id)
		random_id(stream.id);
	strcpy(stream.former_id, NO_ID);
	stream.former_end = -1;
}

void stream_rename(const char *id)
{
	memcpy(stream.former_id, stream.id, sizeof stream.id);
	stream.former_end = stream.offset;
	memcpy(stream.id, id, sizeof stream.id);
}

void stream_new_id(void)
{
	char id[RANDOM_ID + 1];

	random_id(id);
	stream_rename(id);
	stream.select = true;
	stream.differs = false;
}

void stream_follow(const char *id, int64_t offset)
{
	memcpy(stream.id, id, sizeof stream.id);
	strcpy(stream.former_id, NO_ID);
	stream.former_end = -1;
	stream.offset = stream.backlog_first = offset;
	stream.differs = false;
}

void stream_reset(void)
{
	char id[RANDOM_ID + 1];

	random_id(id);
	stream_follow(id, stream.offset);
}

void stream_open_backlog(void)
{
	if (stream.backlog)
		return;
	stream.backlog = malloc((size_t)BACKLOG_SIZE);
	if (!stream.backlog)
		abort();
	stream.backlog_first = stream.offset;
}

void stream_add(const char *data, size_t n)
{
	for (size_t at = 0, part; stream.backlog && at < n; at += part) {
		size_t place = (size_t)((stream.offset + (int64_t)at) % BACKLOG_SIZE);
		part =
		    n - at < (size_t)BACKLOG_SIZE - place ? n - at : (size_t)BACKLOG_SIZE - place;
		memcpy(stream.backlog + place, data + at, part);
	}
	stream.offset += (int64_t)n;
	if (stream.offset - stream.backlog_first > BACKLOG_SIZE)
		stream.backlog_first = stream.offset - BACKLOG_SIZE;
	if (stream_sink)
		stream_sink(data, n);
}

void stream_know(void)
{
	stream.known = true;
	stream_open_backlog();
}

bool stream_position(char id[RANDOM_ID + 1], int64_t *offset)
{
	/* Without a backlog changes are not counted: nobody follows them. */
	if (!stream.backlog || stream.differs)
		return false;
	memcpy(id, stream.id, sizeof stream.id);
	*offset = stream.offset;
	return true;
}

void stream_differs(void)
{
	stream.differs = true;
}

static bool same_id(struct slice a, const char *b)
{
	return a.len == RANDOM_ID && memcmp(a.data, b, RANDOM_ID) == 0;
}

bool stream_has(struct slice id, int64_t offset)
{
	if (!stream.backlog || offset < stream.backlog_first || offset > stream.offset)
		return false;
	return same_id(id, stream.id) ||
	       (same_id(id, stream.former_id) && offset <= stream.former_end);
}

void stream_copy(struct buffer *to, int64_t offset)
{
	while (offset < stream.offset) {
		int64_t place = offset % BACKLOG_SIZE, n = BACKLOG_SIZE - place;
		n = n < stream.offset - offset ? n : stream.offset - offset;
		buffer_add(to, stream.backlog + place, (size_t)n);
		offset += n;
	}
}

/* ---- commands into the stream ---- */

static void add_head(struct buffer *to, char prefix, size_t n)
{
	to->len += buffer_head(buffer_reserve(to, BUFFER_HEAD), prefix, (int64_t)n);
}

static void add_command(struct buffer *to, const struct slice *argv, size_t argc)
{
	add_head(to, '*', argc);
	for (size_t i = 0; i < argc; i++) {
		add_head(to, '$', argv[i].len);
		buffer_add(to, argv[i].data, argv[i].len);
		buffer_add(to, "\r\n", 2);
	}
}

void stream_command(const struct slice *argv, size_t argc)
{
	static const struct slice select_0[] = {{"SELECT", 6}, {"0", 1}};
	static struct buffer text; /* kept, since each command that changes data needs it */

	/* A replica passes its master's bytes on unchanged (link-follow.c). */
	if (!stream.backlog || config_is_replica())
		return;
	if (stream.select)
		add_command(&text, select_0, 2);
	stream.select = false;
	add_command(&text, argv, argc);
	stream_add(text.data, text.len);
	buffer_take(&text, text.len);
	buffer_trim(&text, KEEP);
}
