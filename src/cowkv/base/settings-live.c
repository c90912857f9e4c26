/* SPDX-License-Identifier: BSD-2-Clause */
/* settings-live.c - settings (settings.h) of a running server: CONFIG GET and SET, with Redis'
   error messages. */
#include "config.h"

#include "base/settings-parts.h"
#include "base/slice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_MAX 4096

static const struct setting *find(struct slice name)
{
	char text[64];

	if (name.len >= sizeof text || memchr(name.data, 0, name.len))
		return NULL;
	memcpy(text, name.data, name.len);
	text[name.len] = 0;
	return setting_find(text);
}

static void get(const struct setting *s, char *text, size_t size)
{
	setting_get(s, text, size);
	if (s->at == &config.dir && !getcwd(text, size))
		*text = 0;
}

/* Redis' message for a value that is not valid. */
static const char *wrong_value(const struct setting *s)
{
	switch (s->kind) {
	case BYTES:
		return "argument must be a memory value";
	case FLAG:
		return "argument must be 'yes' or 'no'";
	case RULES:
		return "Invalid save parameters";
	case NUMBER:
		return "argument couldn't be parsed into an integer";
	case TEXT:
		return "dbfilename can't be a path, just a filename";
	case HOST_PORT:
		break;
	}
	return "Invalid argument";
}

static const char *set(const struct setting *s, struct slice value)
{
	char text[VALUE_MAX];

	if (value.len >= sizeof text || memchr(value.data, 0, value.len))
		return "argument is too long";
	memcpy(text, value.data, value.len);
	text[value.len] = 0;
	if (s->at == &config.dir)
		return chdir(text) ? strerror(errno) : NULL;
	if (s->kind == BYTES && !value.len)
		strcpy(text, "0"); /* as in Redis */
	return setting_set(s, text) ? wrong_value(s) : NULL;
}

const char *config_set(struct slice name, struct slice value)
{
	const struct setting *s = find(name);

	if (!s)
		return "";
	return s->live ? set(s, value) : "can't set immutable config";
}

/* Whether these settings exist, may be changed, and are named once each. */
static const char *check(const struct slice *pairs, size_t n, struct slice *bad)
{
	for (size_t i = 0; i < n; i++) {
		const struct setting *s = find(pairs[2 * i]);
		*bad = pairs[2 * i];
		if (!s)
			return "";
		if (!s->live)
			return "can't set immutable config";
		for (size_t k = 0; k < i; k++)
			if (find(pairs[2 * k]) == s)
				return "duplicate parameter";
	}
	return NULL;
}

const char *config_set_all(const struct slice *pairs, size_t n, struct slice *bad)
{
	const char *wrong = NULL;
	char value[VALUE_MAX];
	char **before;
	size_t i;

	if (n > settings_count) { /* at least one is a duplicate, or unknown */
		*bad = pairs[0];
		wrong = check(pairs, settings_count + 1, bad);
		return wrong;
	}
	wrong = check(pairs, n, bad);
	if (wrong)
		return wrong;
	before = calloc(n, sizeof *before);
	if (!before)
		abort();
	for (i = 0; i < n && !wrong; i++) {
		const struct setting *s = find(pairs[2 * i]);
		get(s, value, sizeof value);
		before[i] = strdup(value);
		wrong = set(s, pairs[2 * i + 1]);
		*bad = pairs[2 * i];
	}
	while (i--) { /* all, or none */
		if (wrong && before[i])
			set(find(pairs[2 * i]), (struct slice){before[i], strlen(before[i])});
		free(before[i]);
	}
	free(before);
	return wrong;
}

void config_get(const struct slice *patterns, size_t n,
		void (*fn)(void *ctx, const char *name, const char *value), void *ctx)
{
	char text[VALUE_MAX], as_asked[64];

	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *s = &settings[i];
		const struct slice name = {s->name, strlen(s->name)};
		for (size_t k = 0; k < n; k++) {
			if (!slice_matches(patterns[k], name, true))
				continue;
			/* The answer gives the name as the client wrote it. */
			bool same = slice_is(patterns[k], s->name);
			memcpy(as_asked, same ? patterns[k].data : s->name, name.len);
			as_asked[name.len] = 0;
			get(s, text, sizeof text);
			fn(ctx, as_asked, text);
			break;
		}
	}
}
