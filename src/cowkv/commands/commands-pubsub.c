/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-pubsub.c - SUBSCRIBE, UNSUBSCRIBE, PUBLISH. (There are no patterns. A subscriber may
   also run other commands.) */
#include "config.h"

#include "base/log.h"
#include "commands/command.h"
#include "commands/pubsub.h"
#include "data/stream.h"

#include <stdlib.h>
#include <string.h>

#define OUT_MAX ((size_t)32 << 20) /* bytes that a subscriber may leave unread, as in Redis */
#define CHANNELS_MAX 1024          /* subscriptions of one client */
#define NAME_MAX_LENGTH 4096

struct subscription {
	struct subscription *next;
	struct client *client;
	size_t len;
	char name[];
};

static struct subscription *subscriptions;

static bool is_of(const struct subscription *s, struct slice channel)
{
	return slice_equal((struct slice){s->name, s->len}, channel);
}

static int64_t count(const struct client *c)
{
	int64_t n = 0;

	for (const struct subscription *s = subscriptions; s; s = s->next)
		n += s->client == c;
	return n;
}

/* Drop all subscriptions of a client, or the one to `channel`. */
static void drop(const struct client *c, const struct slice *channel)
{
	struct subscription *s;

	for (struct subscription **at = &subscriptions; (s = *at) != NULL;) {
		if (s->client != c || (channel && !is_of(s, *channel))) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		free(s);
	}
}

void pubsub_forget(struct client *c)
{
	drop(c, NULL);
}

static void confirm(struct client *c, const char *what, const struct slice *channel)
{
	reply_array(c, 3);
	reply_text(c, what);
	if (channel)
		reply_bulk(c, *channel);
	else
		reply_null(c);
	reply_int(c, count(c));
}

static void subscribe(struct client *c)
{
	if (!c->kind->answered)
		return;
	for (size_t i = 1; i < c->argc; i++) {
		const struct slice *channel = &c->argv[i];
		drop(c, channel);
		if (count(c) >= CHANNELS_MAX || channel->len > NAME_MAX_LENGTH) {
			reply_error(c, "ERR too many channels, or too long a name");
			continue;
		}
		struct subscription *s = malloc(sizeof *s + channel->len);
		if (!s)
			abort();
		*s = (struct subscription){subscriptions, c, channel->len};
		memcpy(s->name, channel->data, channel->len);
		subscriptions = s;
		confirm(c, "subscribe", channel);
	}
}

static void unsubscribe(struct client *c)
{
	if (c->argc == 1) {
		drop(c, NULL);
		confirm(c, "unsubscribe", NULL);
	}
	for (size_t i = 1; i < c->argc; i++) {
		drop(c, &c->argv[i]);
		confirm(c, "unsubscribe", &c->argv[i]);
	}
}

static void publish(struct client *c)
{
	int64_t n = 0;

	for (const struct subscription *s = subscriptions; s; s = s->next) {
		struct client *to = s->client;
		if (!is_of(s, c->argv[1]))
			continue;
		if (buffer_size(&to->out) + c->argv[2].len > OUT_MAX) {
			log_line(LOG_WARNING, "Client %s does not take what is published: closed",
				 to->peer);
			to->closing = true;
			continue;
		}
		reply_array(to, 3);
		reply_text(to, "message");
		reply_bulk(to, c->argv[1]);
		reply_bulk(to, c->argv[2]);
		n++;
	}
	reply_int(c, n);
	stream_command(c->argv, c->argc); /* for those who have subscribed at a replica */
}

const struct command pubsub_commands[] = {
    {"subscribe", subscribe, -2, COMMAND_LOADING | COMMAND_NO_MULTI, 0, 0, 0, NULL},
    {"unsubscribe", unsubscribe, -1, COMMAND_LOADING | COMMAND_NO_MULTI, 0, 0, 0, NULL},
    {"publish", publish, 3, COMMAND_LOADING | COMMAND_FAST, 0, 0, 0, NULL},
    {0},
};
