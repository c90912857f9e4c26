/* SPDX-License-Identifier: BSD-2-Clause */
/* compare.h - the same commands to two servers, and whether their replies say the same. */
#ifndef COWARENA_TESTS_COWKV_COMPARE_H
#define COWARENA_TESTS_COWKV_COMPARE_H

#include "servers.h"

#define WORDS_MAX 256

/* A command: its words, and how it was written. */
struct command {
	int argc;
	const char *argv[WORDS_MAX];
	size_t len[WORDS_MAX];
	char text[8192], shown[8192];
};

/* Words of a line, divided by spaces: word "with \n \x00" 'as it is'. False if there are too
   many. */
bool command_parse(struct command *c, const char *line);

/* Add a word to a command, which begins as {0}. */
void command_add(struct command *c, const char *word);

void command_send(struct server *s, const struct command *c);

/*
 * Whether two replies agree: byte by byte, or, for what Redis does not define the order of, as
 * multisets; times that are left may differ by a few seconds. Prints both if not.
 */
bool replies_agree(const struct command *c, const char *a, size_t a_len, const char *b,
		   size_t b_len);

/* Run it on both and compare. Scans are run to their end. */
bool servers_agree(struct server *a, struct server *b, const struct command *c);

/* Whether both hold the same keys, with the same values and expiries. Prints what differs. */
bool contents_agree(struct server *a, struct server *b);

/* A reply, for people: what is not printable in escapes. In one of a few buffers. */
const char *reply_shown(const char *data, size_t len);

#endif
