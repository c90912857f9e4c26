/* SPDX-License-Identifier: BSD-2-Clause */
/* settings-parts.h - what the files of the settings share. settings.c has the table of settings,
   settings-live.c has CONFIG GET and SET, settings-arguments.c reads the command line and its
   file. */
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

/* Find a setting by its name, or by Redis' older name for it. Returns NULL if there is none. */
const struct setting *setting_find(const char *name);

/* Set a value from text. Returns NULL, or what the setting wants if the value is wrong. */
const char *setting_set(const struct setting *s, const char *text);

/* Write the value of a setting as the text that would set it. */
void setting_get(const struct setting *s, char *text, size_t size);

#endif
