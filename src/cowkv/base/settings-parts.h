/* SPDX-License-Identifier: BSD-2-Clause */
/* settings-parts.h - what the files of the settings share: settings.c their table, settings-live.c
   CONFIG, settings-arguments.c the command line. */
#ifndef COWKV_SETTINGS_PARTS_H
#define COWKV_SETTINGS_PARTS_H

#include "base/settings.h"

enum setting_kind { NUMBER, BYTES, FLAG, TEXT, RULES, HOST_PORT };

struct setting {
	const char *name, *arg, *help;
	enum setting_kind kind;
	void *at;
	uint64_t min, max;
	const char *initial;
	bool live; /* CONFIG SET may change it */
};

extern const struct setting settings[];
extern const size_t settings_count;

/* By its name, or Redis' older one; NULL if there is none. */
const struct setting *setting_find(const char *name);

/* Returns NULL, or what it wants. */
const char *setting_set(const struct setting *s, const char *text);

/* Its value as it would be given. */
void setting_get(const struct setting *s, char *text, size_t size);

#endif
