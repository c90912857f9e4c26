/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-number.c - strings that are numbers: INCR, DECR, INCRBYFLOAT. */
#include "config.h"

#include "commands/string-parts.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slice number_sum(struct client *c, int64_t *value, int64_t n, char text[INTEGER_TEXT])
{
	if (__builtin_add_overflow(*value, n, value)) {
		reply_error(c, "ERR increment or decrement would overflow");
		return (struct slice){0};
	}
	int len = snprintf(text, INTEGER_TEXT, "%lld", (long long)*value);
	return (struct slice){text, (size_t)len};
}

static void add(struct client *c, int64_t n)
{
	bool wrong;
	struct entry *e = string_entry(c, c->argv[1], &wrong);
	int64_t value = 0;
	char text[INTEGER_TEXT];

	if (wrong)
		return;
	if (e) {
		const struct string *s = e->value;
		if (!command_integer(c, (struct slice){s->data, s->len}, &value, NULL))
			return;
	}
	struct slice result = number_sum(c, &value, n, text);
	if (!result.data)
		return;
	string_store(c->argv[1], e, result, true);
	command_changed(1);
	reply_int(c, value);
}

static void incr(struct client *c)
{
	add(c, 1);
}

static void decr(struct client *c)
{
	add(c, -1);
}

static void incrby(struct client *c)
{
	int64_t n;

	if (command_integer(c, c->argv[2], &n, NULL))
		add(c, n);
}

static void decrby(struct client *c)
{
	int64_t n;

	if (!command_integer(c, c->argv[2], &n, NULL))
		return;
	if (n == INT64_MIN)
		reply_error(c, "ERR decrement would overflow");
	else
		add(c, -n);
}

long double number_parse(struct slice s)
{
	char text[LONG_DOUBLE_TEXT], *end;

	if (!s.len || isspace((unsigned char)*s.data) || !slice_text(s, text))
		return NAN;
	errno = 0;
	long double d = strtold(text, &end);
	return end == text + s.len && !(errno == ERANGE && (isinf(d) || d == 0)) ? d
										 : (long double)NAN;
}

/* Print d without an exponent or zeros at the end. Returns the length. */
static size_t print_float(char text[LONG_DOUBLE_TEXT], long double d)
{
	size_t n = (size_t)snprintf(text, LONG_DOUBLE_TEXT, "%.17Lf", d);

	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	if (n == 2 && memcmp(text, "-0", 2) == 0) {
		text[0] = '0';
		n = 1;
	}
	text[n] = 0;
	return n;
}

struct slice number_float_sum(struct client *c, long double value, long double more,
			      char text[LONG_DOUBLE_TEXT])
{
	value += more;
	if (isnan(value) || isinf(value)) {
		reply_error(c, "ERR increment would produce NaN or Infinity");
		return (struct slice){0};
	}
	return (struct slice){text, print_float(text, value)};
}

static void incrbyfloat(struct client *c)
{
	bool wrong;
	struct entry *e = string_entry(c, c->argv[1], &wrong);
	const struct string *s = e ? e->value : NULL;
	char text[LONG_DOUBLE_TEXT];

	if (wrong)
		return;
	long double value = s ? number_parse((struct slice){s->data, s->len}) : 0;
	long double more = number_parse(c->argv[2]);
	if (isnan(value) || isnan(more)) {
		reply_error(c, ERROR_NOT_FLOAT);
		return;
	}
	struct slice result = number_float_sum(c, value, more, text);
	if (!result.data)
		return;
	string_store(c->argv[1], e, result, true);
	/* Replicas are sent the result, since they might round the sum differently. */
	const struct slice argv[] = {SLICE("SET"), c->argv[1], result, SLICE("KEEPTTL")};
	command_changed(1);
	command_send_instead(argv, 4);
	reply_bulk(c, result);
}

#define WRITES (COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST)

const struct command number_commands[] = {
    {"incr", incr, 2, WRITES, 1, 1, 1, NULL},
    {"decr", decr, 2, WRITES, 1, 1, 1, NULL},
    {"incrby", incrby, 3, WRITES, 1, 1, 1, NULL},
    {"decrby", decrby, 3, WRITES, 1, 1, 1, NULL},
    {"incrbyfloat", incrbyfloat, 3, WRITES, 1, 1, 1, NULL},
    {0},
};
