/* SPDX-License-Identifier: BSD-2-Clause */
/* compare.h - sends the same commands to two servers, and compares their replies. */
#ifndef COWARENA_TESTS_COWKV_COMPARE_H
#define COWARENA_TESTS_COWKV_COMPARE_H

#include "servers.h"

#define WORDS_MAX 256

/* A command: its words, and its text as written. */
struct command {
	int argc;
	const char *argv[WORDS_MAX];
	size_t len[WORDS_MAX];
	char text[8192], shown[8192];
};

/* Parse the words of a line, separated by spaces: word "with \n \x00" 'as it is'. Returns false if
   there are too many. */
bool command_parse(struct command *c, const char *line);

/* Add a word to a command, which begins as {0}. */
void command_add(struct command *c, const char *word);

void command_send(struct server *s, const struct command *c);

/*
 * Whether two replies agree: byte by byte, or as multisets where Redis defines no order; a time
 * left may differ by a few seconds. Prints both replies if they differ.
 */
bool replies_agree(const struct command *c, const char *a, size_t a_len, const char *b,
		   size_t b_len);

/* Run a command on both servers and compare the replies. Scans are run to their end. */
bool servers_agree(struct server *a, struct server *b, const struct command *c);

/* Whether both servers hold the same keys, with the same values and expiries. Prints what
   differs. */
bool contents_agree(struct server *a, struct server *b);

/* A reply for people to read, with escapes for unprintable bytes. It lies in one of a few buffers
   that are reused. */
const char *reply_shown(const char *data, size_t len);

#endif
