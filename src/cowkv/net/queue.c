/* SPDX-License-Identifier: BSD-2-Clause */
/* queue.c - see queue.h. */
#include "config.h"

#include "net/queue.h"

#include <stdlib.h>
#include <string.h>

#define BYTES_MAX ((size_t)1 << 30)

void queue_clear(struct queue *q)
{
	for (size_t i = 0; i < q->n; i++)
		free(q->at[i].argv);
	free(q->at);
	*q = (struct queue){0};
}

static void grow(struct queue *q)
{
	size_t room = q->room ? 2 * q->room : 8;
	struct queued *at = realloc(q->at, room * sizeof *at);

	if (!at)
		abort();
	q->at = at;
	q->room = room;
}

static struct slice *copy(const struct slice *argv, size_t argc, size_t size)
{
	struct slice *to = malloc(size);

	if (!to)
		abort();
	char *text = (char *)(to + argc);
	for (size_t i = 0; i < argc; i++) {
		memcpy(text, argv[i].data, argv[i].len);
		to[i] = (struct slice){text, argv[i].len};
		text += argv[i].len;
	}
	return to;
}

bool queue_add(struct queue *q, const struct command *command, const struct slice *argv,
	       size_t argc)
{
	size_t size = argc * sizeof *argv;

	for (size_t i = 0; i < argc; i++)
		size += argv[i].len;
	if (size + sizeof *q->at > BYTES_MAX - q->bytes)
		return false;
	q->bytes += size + sizeof *q->at;
	if (q->n == q->room)
		grow(q);
	q->at[q->n++] = (struct queued){command, copy(argv, argc, size), argc};
	return true;
}
