/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resp.h - the parser of requests: RESP2 arrays of bulk strings, and inline commands. It keeps its
 * place, so that each byte is read once even if a request comes in small pieces. It does not copy:
 * the arguments of a request point into the buffer.
 */
#ifndef COWKV_RESP_H
#define COWKV_RESP_H

#include "base/slice.h"

#define RESP_INLINE_MAX ((size_t)64 << 10)
#define RESP_ARGS_MAX ((int64_t)1 << 20)
#define RESP_BULK_MAX ((int64_t)512 << 20)
/* Limits for clients that have not given the password yet. */
#define RESP_ARGS_STRANGER 10
#define RESP_BULK_STRANGER 16384

struct resp {
	size_t at;    /* bytes of the request parsed so far */
	int64_t left; /* arguments still to come; 0 between requests */
	int64_t bulk; /* length of the current argument; -1 if it is not known yet */
	struct resp_arg {
		size_t at, len;
	} * args;
	size_t argc, room;
};

enum resp_result { RESP_MORE, RESP_REQUEST, RESP_ERROR };

/*
 * Parse one request from the start of data[0 .. n - 1]. After RESP_MORE, parsing continues where it
 * stopped: the earlier bytes must be unchanged, and more may follow them. Quotes in an inline
 * command are removed in place.
 *
 * RESP_REQUEST: args[0 .. argc - 1] are the arguments, and `at` is the end of the request; argc may
 * be 0 (an empty line). RESP_ERROR: *error is to be sent to the client, after "-ERR Protocol error:
 * "; nothing can be parsed after it. stranger: apply the limits of clients that have not given the
 * password.
 */
enum resp_result resp_parse(struct resp *r, char *data, size_t n, bool stranger,
			    const char **error);

/* Prepare for the next request. */
void resp_next(struct resp *r);

void resp_free(struct resp *r);

#endif
