/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resp.h - the parser of requests: RESP2 arrays of bulk strings, and inline commands.
 * The parser keeps its place, so that each byte is looked at once, even if a request comes in small
 * pieces. The parser does not copy: the arguments of a request are places in the buffer.
 */
#ifndef COWKV_RESP_H
#define COWKV_RESP_H

#include "base/slice.h"

#define RESP_INLINE_MAX ((size_t)64 << 10)
#define RESP_ARGS_MAX ((int64_t)1 << 20)
#define RESP_BULK_MAX ((int64_t)512 << 20)
/* Limits for clients that have not said the password yet. */
#define RESP_ARGS_STRANGER 10
#define RESP_BULK_STRANGER 16384

struct resp {
	size_t at;    /* bytes of the request that have been parsed */
	int64_t left; /* arguments that are still to come; 0 between requests */
	int64_t bulk; /* length of the argument that is coming; -1 if that is not known yet */
	struct resp_arg {
		size_t at, len;
	} * args;
	size_t argc, room;
};

enum resp_result { RESP_MORE, RESP_REQUEST, RESP_ERROR };

/*
 * Parse one request from the start of data[0 .. n - 1], going on where the last call with RESP_MORE
 * stopped: the bytes before must be the same then, more may have come after. An inline command may
 * be changed where it is (quotes).
 *
 * RESP_REQUEST: args[0 .. argc - 1] say where the arguments are, `at` where the request ends; argc
 * may be 0 (an empty line). RESP_ERROR: *error is what to tell the client, after "-ERR Protocol
 * error: "; nothing can be parsed after it. stranger: with the limits of clients that have not said
 * the password.
 */
enum resp_result resp_parse(struct resp *r, char *data, size_t n, bool stranger,
			    const char **error);

/* Begin with the next request. */
void resp_next(struct resp *r);

void resp_free(struct resp *r);

#endif
