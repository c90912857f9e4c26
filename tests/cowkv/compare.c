/* SPDX-License-Identifier: BSD-2-Clause */
/* compare.c - see compare.h. */
#include "config.h"

#include "../common.h"
#include "compare.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#define ITEMS_MAX 65536
#define TIME_TOLERANCE 20000 /* ms: this machine may be busy, and one server waits for the other */

/* ---- commands ---- */

/* One word at p, unquoted to `out`. Returns its end. */
static const char *unquote(const char *p, char **out)
{
	char quote = 0;
	unsigned byte;

	for (; *p && (quote || !isspace((unsigned char)*p)); p++) {
		if (!quote && (*p == '"' || *p == '\''))
			quote = *p;
		else if (*p == quote)
			quote = 0;
		else if (quote == '"' && *p == '\\' && p[1] == 'x' &&
			 sscanf(p + 2, "%2x", &byte) == 1) {
			*(*out)++ = (char)byte;
			p += 3;
		} else if (quote == '"' && *p == '\\' && p[1]) {
			p++;
			*(*out)++ = *p == 'n' ? '\n' : *p == 'r' ? '\r' : *p == 't' ? '\t' : *p;
		} else {
			*(*out)++ = *p;
		}
	}
	return p;
}

bool command_parse(struct command *c, const char *line)
{
	char *out = c->text;

	if (strlen(line) >= sizeof c->text / 2)
		return false;
	c->argc = 0;
	snprintf(c->shown, sizeof c->shown, "%s", line);
	c->shown[strcspn(c->shown, "\n")] = 0;
	for (const char *p = line; *(p += strspn(p, " \t\n"));) {
		if (c->argc == WORDS_MAX)
			return false;
		c->argv[c->argc] = out;
		p = unquote(p, &out);
		c->len[c->argc] = (size_t)(out - c->argv[c->argc]);
		c->argc++;
		*out++ = 0;
	}
	return true;
}

void command_add(struct command *c, const char *word)
{
	size_t at =
		   c->argc ? (size_t)(c->argv[c->argc - 1] - c->text) + c->len[c->argc - 1] + 1 : 0,
	       len = strlen(word), shown = strlen(c->shown);

	ck_assert(c->argc < WORDS_MAX && at + len < sizeof c->text);
	memcpy(c->text + at, word, len + 1);
	c->argv[c->argc] = c->text + at;
	c->len[c->argc++] = len;
	snprintf(c->shown + shown, sizeof c->shown - shown, "%s%s", shown ? " " : "", word);
}

void command_send(struct server *s, const struct command *c)
{
	char *request;
	int n =
	    redisFormatCommandArgv(&request, c->argc, (const char **)(uintptr_t)c->argv, c->len);

	ck_assert_int_gt(n, 0);
	servers_send(s, request, (size_t)n);
	redisFreeCommand(request);
}

static bool named(const struct command *c, const char *const names[])
{
	for (; *names; names++)
		if (strcasecmp(c->argv[0], *names) == 0)
			return true;
	return false;
}

/* ---- replies ---- */

const char *reply_shown(const char *data, size_t len)
{
	static char buffers[4][2000];
	static int next;
	char *text = buffers[next++ % 4];
	size_t at = 0;

	for (size_t i = 0; i < len && at < sizeof *buffers - 8; i++) {
		if (isprint((unsigned char)data[i]) && data[i] != '\\')
			text[at++] = data[i];
		else if (data[i] == '\r' && i + 1 < len && data[i + 1] == '\n')
			text[at++] = ' ', i++;
		else
			at += (size_t)sprintf(text + at, "\\x%02x", (unsigned char)data[i]);
	}
	text[at && text[at - 1] == ' ' ? at - 1 : at] = 0;
	return text;
}

struct item {
	const char *data;
	size_t len;
};

static int by_bytes(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* The elements of an array's reply, each `together` of them as one; sorted. Returns how many; -1 if
   it is no array. */
static long items(const char *data, size_t len, int together, struct item *list)
{
	const char *p = memchr(data, '\n', len), *end = data + len;
	long n = 0;

	if (*data != '*' || !p)
		return -1;
	for (p++; p < end && n < ITEMS_MAX; n++) {
		list[n].data = p;
		for (int i = 0; i < together; i++)
			p += servers_reply_length(p, (size_t)(end - p));
		list[n].len = (size_t)(p - list[n].data);
	}
	qsort(list, (size_t)n, sizeof *list, by_bytes);
	return n;
}

static bool same_items(struct item *a, long n_a, struct item *b, long n_b)
{
	for (long i = 0; i < n_a && n_a == n_b; i++)
		if (by_bytes(&a[i], &b[i]))
			return false;
	return n_a == n_b && n_a >= 0;
}

static bool as_multisets(const char *a, size_t a_len, const char *b, size_t b_len, int together)
{
	static struct item x[ITEMS_MAX], y[ITEMS_MAX];

	return same_items(x, items(a, a_len, together, x), y, items(b, b_len, together, y));
}

static bool about_the_same_time(const struct command *c, const char *a, const char *b)
{
	static const char *const ms[] = {"PTTL", "PEXPIRETIME", NULL};
	long long x = strtoll(a + 1, NULL, 10), y = strtoll(b + 1, NULL, 10);

	return *a == ':' && *b == ':' && x > 0 && y > 0 &&
	       llabs(x - y) <= TIME_TOLERANCE / (named(c, ms) ? 1 : 1000);
}

bool replies_agree(const struct command *c, const char *a, size_t a_len, const char *b,
		   size_t b_len)
{
	static const char *const unordered[] = {"KEYS", "SMEMBERS", "HKEYS", "HVALS", "SPOP", NULL};
	static const char *const pairs[] = {"HGETALL", NULL};
	static const char *const times[] = {"TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME", NULL};

	if (a_len == b_len && memcmp(a, b, a_len) == 0)
		return true;
	if (named(c, unordered) && as_multisets(a, a_len, b, b_len, 1))
		return true;
	if (named(c, pairs) && as_multisets(a, a_len, b, b_len, 2))
		return true;
	if (named(c, times) && about_the_same_time(c, a, b))
		return true;
	printf("%s\n    redis: %s\n    cowkv: %s\n", c->shown, reply_shown(a, a_len),
	       reply_shown(b, b_len));
	return false;
}
