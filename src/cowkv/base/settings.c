/* SPDX-License-Identifier: BSD-2-Clause */
/* settings.c - the table of settings (settings.h), and how each is read and written. */
#include "config.h"

#include "base/settings-parts.h"
#include "base/slice.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config config;

const struct setting settings[] = {
    {"port", "N", "port to listen at", NUMBER, &config.port, 1, 65535, "7379", false},
    {"bind", "ADDR", "addresses to listen at", TEXT, &config.bind, 0, 0, "127.0.0.1", false},
    {"dir", "PATH", "directory of the file, and to work in", TEXT, &config.dir, 0, 0, ".", true},
    {"dbfilename", "NAME", "file of the data", TEXT, &config.dbfilename, 0, 0, "dump.rdb", true},
    {"requirepass", "PW", "password that clients have to say", TEXT, &config.requirepass, 0, 0, "",
     true},
    {"protected-mode", "yes|no", "without a password: this machine's clients only", FLAG,
     &config.protected_mode, 0, 0, "yes", true},
    {"save", "\"SECONDS CHANGES\"", "save after so many changes in that time; \"\": never", RULES,
     NULL, 0, 0, "3600 1 300 100 60 10000", true},
    {"cow-limit", "BYTES", "memory that a save may cost; it fails beyond", BYTES, &config.cow_limit,
     0, (uint64_t)1 << 46, "0", false},
    {"capacity", "BYTES", "address space for the data", BYTES, &config.capacity, (uint64_t)16 << 20,
     (uint64_t)1 << 44, "64gb", false},
    {"maxmemory", "BYTES", "writes are refused beyond (0: up to the capacity)", BYTES,
     &config.maxmemory, 0, (uint64_t)1 << 46, "0", true},
    {"maxclients", "N", "connections at a time", NUMBER, &config.maxclients, 1, 1000000, "10000",
     false},
    {"rdbcompression", "yes|no", "compress long strings in the file", FLAG, &config.compress, 0, 0,
     "yes", true},
    {"rehash-guard", "yes|no", "no rehashing while a snapshot is saved", FLAG, &config.rehash_guard,
     0, 0, "yes", true},
    {"replicaof", "HOST PORT", "be a replica of that server", HOST_PORT, NULL, 0, 0, "", false},
    {"masterauth", "PW", "password of the master", TEXT, &config.masterauth, 0, 0, "", true},
    {"logfile", "PATH", "log to this file (default: standard output)", TEXT, &config.logfile, 0, 0,
     "", false},
    {"daemonize", "yes|no", "go to the background", FLAG, &config.daemonize, 0, 0, "no", false},
};
const size_t settings_count = sizeof settings / sizeof *settings;

/* ---- values ---- */

static bool parse_bytes(const char *text, uint64_t *value)
{
	static const struct {
		const char *name;
		uint64_t factor;
	} units[] = {
	    {"", 1},        {"b", 1},        {"k", 1000},       {"kb", 1024},
	    {"m", 1000000}, {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30},
	};
	char *end;

	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || errno)
		return false;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (strcasecmp(end, units[i].name) == 0)
			return !__builtin_mul_overflow(n, units[i].factor, value);
	return false;
}

static char *copy(const char *text)
{
	char *p = strdup(text);

	if (!p)
		abort();
	return p;
}

static void set_text(char **at, const char *text)
{
	char *before = *at;

	*at = copy(text);
	free(before);
}

/* Pairs of numbers; an empty text means no rules. */
static bool set_rules(const char *text)
{
	struct save_rule rules[SAVE_RULES];
	size_t n = 0;
	int length;

	for (;; text += length) {
		struct save_rule r;
		text += strspn(text, " ");
		if (!*text)
			break;
		if (n == SAVE_RULES || strchr(text, '-') || strchr(text, '+') ||
		    sscanf(text, "%" SCNu64 " %" SCNu64 "%n", &r.seconds, &r.changes, &length) !=
			2 ||
		    !r.seconds || (text[length] && text[length] != ' '))
			return false;
		rules[n++] = r;
	}
	memcpy(config.save, rules, n * sizeof *rules);
	config.save_rules = n;
	return true;
}

static bool set_master(const char *text)
{
	char host[256];
	unsigned port;

	if (!*text || strcasecmp(text, "no one") == 0) {
		set_text(&config.master_host, "");
		return true;
	}
	if (sscanf(text, "%255s %u", host, &port) != 2 || !port || port > 65535)
		return false;
	set_text(&config.master_host, host);
	config.master_port = port;
	return true;
}

const char *setting_set(const struct setting *s, const char *text)
{
	static char wants[160];
	uint64_t n;

	switch (s->kind) {
	case NUMBER:
	case BYTES:
		if (!parse_bytes(text, &n) || n < s->min || n > s->max) {
			snprintf(wants, sizeof wants, "a number from %" PRIu64 " to %" PRIu64 "%s",
				 s->min, s->max,
				 s->kind == BYTES ? ", with k, kb, m, mb, g or gb behind it" : "");
			return wants;
		}
		*(uint64_t *)s->at = n;
		return NULL;
	case FLAG:
		if (strcasecmp(text, "yes") && strcasecmp(text, "no"))
			return "yes or no";
		*(bool *)s->at = strcasecmp(text, "yes") == 0;
		return NULL;
	case RULES:
		return set_rules(text) ? NULL : "pairs of seconds and changes";
	case HOST_PORT:
		return set_master(text) ? NULL : "a host and a port";
	case TEXT:
		if (s->at == &config.dbfilename && (strchr(text, '/') || !*text))
			return "a file name without a path";
		set_text(s->at, text);
		return NULL;
	}
	return NULL;
}

void setting_get(const struct setting *s, char *text, size_t size)
{
	size_t at = 0;

	*text = 0;
	switch (s->kind) {
	case NUMBER:
	case BYTES:
		snprintf(text, size, "%" PRIu64, *(uint64_t *)s->at);
		break;
	case FLAG:
		snprintf(text, size, "%s", *(bool *)s->at ? "yes" : "no");
		break;
	case TEXT:
		snprintf(text, size, "%s", *(char **)s->at);
		break;
	case RULES:
		for (size_t i = 0; i < config.save_rules; i++)
			at += (size_t)snprintf(text + at, size - at, "%s%" PRIu64 " %" PRIu64,
					       i ? " " : "", config.save[i].seconds,
					       config.save[i].changes);
		break;
	case HOST_PORT:
		if (*config.master_host)
			snprintf(text, size, "%s %" PRIu64, config.master_host, config.master_port);
		break;
	}
}

void config_init(void)
{
	set_text(&config.master_host, "");
	for (size_t i = 0; i < settings_count; i++)
		setting_set(&settings[i], settings[i].initial);
}

const struct setting *setting_find(const char *name)
{
	/* Redis' older name for it. */
	if (strcasecmp(name, "slaveof") == 0)
		name = "replicaof";
	for (size_t i = 0; i < settings_count; i++)
		if (strcasecmp(name, settings[i].name) == 0)
			return &settings[i];
	return NULL;
}
