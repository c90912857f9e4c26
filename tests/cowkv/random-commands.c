/* SPDX-License-Identifier: BSD-2-Clause */
/* random-commands.c - see random-commands.h. */
#include "config.h"

#include "../common.h"
#include "random-commands.h"

#include <stdio.h>
#include <time.h>

struct random_commands {
	uint64_t *state;
	time_t began;
	unsigned members;
	bool in_multi;
};

static uint64_t draw(struct random_commands *r, uint64_t n)
{
	return (rng(r->state) >> 11) % n;
}

static const char *one_of(struct random_commands *r, const char *const *list, size_t n)
{
	return list[draw(r, n)];
}
#define ONE_OF(r, list) one_of(r, list, sizeof list / sizeof *list)

static void value(struct random_commands *r, char *text, size_t size)
{
	static const char *const some[] = {"",    "0",   "-1",  "1.5",
					   "abc", " 1",  "01",  "9223372036854775807",
					   "-0",  "inf", "1e3", "-9223372036854775808",
					   "nan"};
	size_t len = draw(r, 8) ? draw(r, 20) : draw(r, 300);

	switch (draw(r, 4)) {
	case 0:
		snprintf(text, size, "%s", ONE_OF(r, some));
		break;
	case 1:
		snprintf(text, size, "%lld", (long long)draw(r, 2000) - 1000);
		break;
	default:
		for (size_t i = 0; i < len; i++)
			text[i] = (char)('a' + draw(r, 26));
		text[len] = 0;
	}
}

/* A key: one in eight is of any type, so that types collide. */
static void key(struct random_commands *r, char type, char *text, size_t size)
{
	static const char types[] = "KLHSZ";

	if (draw(r, 8) == 0)
		type = types[draw(r, 5)];
	snprintf(text, size, "%c:%d", type, (int)draw(r, type == 'K' ? 12 : 3));
}

static void fill(struct random_commands *r, char what, char *text, size_t size)
{
	static const char *const numbers[] = {"0",
					      "1",
					      "-1",
					      "1000",
					      "9223372036854775807",
					      "abc",
					      "1.0",
					      "-9223372036854775808",
					      "-9223372036854775807",
					      "+1",
					      ""};
	static const char *const floats[] = {
	    "0",   "1", "-1",   "1.5",   "2.25",          "3", "1e3", "-inf", "0.1",
	    "inf", "3", "1e-7", "1e300", "123456789.125", "x", "nan"};
	static const char *const bounds[] = {"-inf",  "+inf", "0",   "1",  "(1",   "(0",
					     "3",     "(3",   "1.5", "-1", "1000", "(inf",
					     "(-inf", "x",    "",    "("};
	static const char *const patterns[] = {"*",    "K:*", "?:1",   "[K-S]:[^0]",
					       "*:1?", "Z*",  "\\K:1", ""};
	static const char *const counts[] = {"0", "1", "2", "3", "10", "100", "-1", "x", "500"};

	switch (what) {
	case 'V':
		value(r, text, size);
		break;
	case 'N':
		if (draw(r, 3))
			snprintf(text, size, "%lld", (long long)draw(r, 200) - 100);
		else
			snprintf(text, size, "%s", ONE_OF(r, numbers));
		break;
	case 'I':
		snprintf(text, size, "%lld", (long long)draw(r, 24) - 12);
		if (draw(r, 40) == 0)
			snprintf(text, size, "%s", ONE_OF(r, numbers));
		break;
	case 'F':
		if (draw(r, 2))
			snprintf(text, size, "%lld", (long long)draw(r, 20) - 10);
		else
			snprintf(text, size, "%s", ONE_OF(r, floats));
		break;
	case 'M':
		if (draw(r, 20))
			snprintf(text, size, "m%d", (int)draw(r, r->members));
		else
			value(r, text, size);
		break;
	case 'B':
		snprintf(text, size, "%s", ONE_OF(r, bounds));
		break;
	case 'T': /* far enough from each other */
		snprintf(text, size, "%d", (int)(1 + draw(r, 9)) * 1000);
		break;
	case 'A':
		snprintf(text, size, "%lld", (long long)r->began + (int)(1 + draw(r, 9)) * 1500);
		break;
	case 'P':
		snprintf(text, size, "%s", ONE_OF(r, patterns));
		break;
	case 'X':
		snprintf(text, size, "%s", ONE_OF(r, counts));
		break;
	default:
		key(r, what, text, size);
	}
}

static void add_filled(struct random_commands *r, struct command *c, char what, const char *behind)
{
	char text[512];

	fill(r, what, text, sizeof text - 8);
	strcat(text, behind);
	command_add(c, text);
}

/* Any of the words between bars. */
static void choose(struct random_commands *r, char *word)
{
	size_t n = 1;

	for (const char *p = word; *p; p++)
		n += *p == '|';
	for (n = draw(r, n); n; n--)
		memmove(word, strchr(word, '|') + 1, strlen(strchr(word, '|')));
	word[strcspn(word, "|")] = 0;
}

static void add_word(struct random_commands *r, struct command *c, char *word)
{
	if (*word == '[') {
		if (draw(r, 2))
			return;
		word[strlen(word) - 1] = 0;
		word++;
	}
	choose(r, word);
	if (*word == '*') {
		for (uint64_t n = 1 + draw(r, draw(r, 20) ? 5 : WORDS_MAX / 4); n; n--)
			for (const char *p = word + 1; *p; p++)
				add_filled(r, c, *p, "");
	} else if (strcmp(word, "LIMIT!") == 0) {
		command_add(c, "LIMIT");
		add_filled(r, c, 'I', "");
		add_filled(r, c, 'I', "");
	} else if (strchr("KLHSZVNIFMBTAPX", *word) && (!word[1] || word[1] == '0')) {
		add_filled(r, c, *word, word + 1);
	} else {
		command_add(c, word);
	}
}

struct random_commands *random_commands_new(uint64_t *state, unsigned members)
{
	struct random_commands *r = calloc(1, sizeof *r);

	ck_assert_ptr_nonnull(r);
	r->state = state;
	r->members = members;
	r->began = time(NULL);
	return r;
}

void random_commands_free(struct random_commands *r)
{
	free(r);
}

/* In a transaction the order of what has none would be in the middle of EXEC's reply. */
static bool fits_transaction(const char *form)
{
	static const char *const without[] = {"HGETALL", "SMEMBERS", "KEYS", "SPOP", "TTL", "PTTL"};

	for (size_t i = 0; i < sizeof without / sizeof *without; i++)
		if (strncmp(form, without[i], strlen(without[i])) == 0)
			return false;
	return true;
}

void random_command(struct random_commands *r, struct command *c)
{
	static unsigned total;
	size_t i;
	char form[256];

	if (!total)
		for (i = 0; i < random_forms_count; i++)
			total += random_forms[i].weight;
	do {
		uint64_t at = draw(r, total);
		for (i = 0; at >= random_forms[i].weight; i++)
			at -= random_forms[i].weight;
	} while (r->in_multi && !fits_transaction(random_forms[i].form));
	if (r->in_multi && draw(r, 6) == 0)
		for (i = 0; strcmp(random_forms[i].form, "EXEC");)
			i++;
	*c = (struct command){0};
	snprintf(form, sizeof form, "%s", random_forms[i].form);
	for (char *rest = form, *word; (word = strsep(&rest, " ")) != NULL;)
		add_word(r, c, word);
	if (strcmp(c->argv[0], "MULTI") == 0)
		r->in_multi = true;
	else if (strcmp(c->argv[0], "EXEC") == 0 || strcmp(c->argv[0], "DISCARD") == 0)
		r->in_multi = false;
}
