/* SPDX-License-Identifier: BSD-2-Clause */
/* compare-servers.c - see compare.h; scans, and all data of two servers. */
#include "config.h"

#include "../common.h"
#include "compare.h"

#include <stdio.h>
#include <strings.h>

#define FOUND_MAX 4096

/* ---- scans ---- */

/* Which argument of a scan is its cursor; 0 if it is no scan from the beginning. */
static int cursor_of(const struct command *c)
{
	int at = strcasecmp(c->argv[0], "SCAN") == 0    ? 1
		 : strcasecmp(c->argv[0], "HSCAN") == 0 ? 2
		 : strcasecmp(c->argv[0], "SSCAN") == 0 ? 2
		 : strcasecmp(c->argv[0], "ZSCAN") == 0 ? 2
							: 0;

	return at && c->argc > at && strtoll(c->argv[at], NULL, 10) == 0 ? at : 0;
}

/* What scans have found, each once. */
struct found {
	char *text[FOUND_MAX];
	size_t n;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add(struct found *f, const char *name, const char *value)
{
	char line[512];

	snprintf(line, sizeof line, "%s %s", name, value);
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->text[i], line) == 0)
			return;
	ck_assert_uint_lt(f->n, FOUND_MAX);
	f->text[f->n++] = strdup(line);
}

/* All of them in order, in one text. */
static char *joined(struct found *f)
{
	size_t size = 1;

	qsort(f->text, f->n, sizeof *f->text, by_text);
	for (size_t i = 0; i < f->n; i++)
		size += strlen(f->text[i]) + 1;
	char *all = calloc(1, size), *at = all;
	ck_assert_ptr_nonnull(all);
	for (size_t i = 0; i < f->n; i++) {
		at = stpcpy(stpcpy(at, f->text[i]), "\n");
		free(f->text[i]);
	}
	return all;
}

/* Scan to the end. Returns what was found, or the error. */
static char *scan(struct server *s, const struct command *c, int cursor)
{
	static struct found found;
	static struct command next;
	char at[32] = "0";
	size_t step = strchr("HhZz", *c->argv[0]) ? 2 : 1;

	found.n = 0;
	next = *c;
	do {
		if (found.n || strcmp(at, "0")) {
			next.argv[cursor] = at;
			next.len[cursor] = strlen(at);
		}
		redisReply *r = redisCommandArgv(s->link, next.argc,
						 (const char **)(uintptr_t)next.argv, next.len);
		ck_assert_msg(r != NULL, "%s: %s", c->shown, s->link->errstr);
		if (r->type == REDIS_REPLY_ERROR)
			add(&found, r->str, "");
		snprintf(at, sizeof at, "%s",
			 r->type == REDIS_REPLY_ERROR ? "0" : r->element[0]->str);
		for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i < r->element[1]->elements;
		     i += step)
			add(&found, r->element[1]->element[i]->str,
			    step == 2 ? r->element[1]->element[i + 1]->str : "");
		freeReplyObject(r);
	} while (strcmp(at, "0"));
	return joined(&found);
}

bool servers_agree(struct server *a, struct server *b, const struct command *c)
{
	int cursor = cursor_of(c);
	size_t a_len, b_len;

	if (cursor) {
		char *x = scan(a, c, cursor), *y = scan(b, c, cursor);
		bool same = strcmp(x, y) == 0;
		if (!same)
			printf("%s\n    redis: %s\n    cowkv: %s\n", c->shown, x, y);
		free(x);
		free(y);
		return same;
	}
	command_send(a, c);
	command_send(b, c);
	const char *x = servers_raw_reply(a, &a_len), *y = servers_raw_reply(b, &b_len);
	return replies_agree(c, x, a_len, y, b_len);
}

/* ---- contents ---- */

/* The commands that show what a key of this type holds. */
static const char *shown_by(const char *type)
{
	static const char *const commands[][2] = {
	    {"string", "GET"},   {"list", "LRANGE"}, {"hash", "HGETALL"},
	    {"set", "SMEMBERS"}, {"zset", "ZRANGE"},
	};

	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(type, commands[i][0]) == 0)
			return commands[i][1];
	return NULL;
}

static bool key_agrees(struct server *a, struct server *b, const char *key, size_t len)
{
	static const char *const asked[] = {"TYPE", "PEXPIRETIME"};
	bool same = true;

	redisReply *type = servers_call(a, "TYPE %b", key, len);
	const char *by = shown_by(type->str);
	for (int i = 0; i < 3 && same; i++) {
		struct command c = {0};
		const char *name = i < 2 ? asked[i] : by;
		if (!name)
			continue;
		command_add(&c, name);
		command_add(&c, key);
		if (strstr(name, "RANGE")) {
			command_add(&c, "0");
			command_add(&c, "-1");
		}
		if (*name == 'Z')
			command_add(&c, "WITHSCORES");
		same = servers_agree(a, b, &c);
	}
	freeReplyObject(type);
	return same;
}

bool contents_agree(struct server *a, struct server *b)
{
	struct command c = {0};

	command_add(&c, "KEYS");
	command_add(&c, "*");
	bool same = servers_agree(a, b, &c);
	redisReply *keys = servers_call(a, "KEYS *");
	for (size_t i = 0; i < keys->elements && same; i++)
		same = key_agrees(a, b, keys->element[i]->str, keys->element[i]->len);
	freeReplyObject(keys);
	return same;
}
